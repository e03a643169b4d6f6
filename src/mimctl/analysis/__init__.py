"""What a site image means: sequence components, unbalance, harmonics, headroom. Pure functions over arrays."""
