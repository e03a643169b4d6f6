"""MIMs that answer late, and at different speeds."""
