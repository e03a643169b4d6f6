"""The running service: wiring, life cycle, its state directory, its local door."""
