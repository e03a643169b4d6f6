"""Who may say what, for how long: leases, what they reach, and what they leave to a plan."""
