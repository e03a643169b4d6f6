"""What lies between the zones and the whole: the site level, what it tells them, and what they make of it."""
