"""The balancing cone program: loads and bounds in, setpoints of every port out."""
