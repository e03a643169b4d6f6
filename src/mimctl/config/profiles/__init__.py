"""Profile files of devices to their maps: what may stand in them, what is wrong, what it means on the wire."""
