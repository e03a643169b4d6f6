"""The walk of the data, once a cycle: read all, decide, write all. `cycle.py` shows it on one page."""
