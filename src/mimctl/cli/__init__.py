"""The command line: one file per command, found by name when it is asked for."""
