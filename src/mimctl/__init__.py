"""mimctl: one control unit for a data centre's distributed micro-inverters."""

__version__ = "0.1.0"
