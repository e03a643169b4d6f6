"""Text to model: site files and device profiles, with every problem at its line."""
