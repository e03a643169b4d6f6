"""The rules of the site file: where they act, when they are in force, and what they take from the bounds."""
