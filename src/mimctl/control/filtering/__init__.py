"""Harmonics: which filter takes how much of what."""
