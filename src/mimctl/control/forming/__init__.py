"""Buses that MIMs form behind open contactors: who wishes it, what was told, and when it ends."""
