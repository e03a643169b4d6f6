"""Decisions, kept for those who ask why."""
