"""Feeds, sources and breakers: what is alive, what would take over, and what people must move."""
