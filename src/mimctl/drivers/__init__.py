"""Device behaviour: drivers turn links and register maps into samples, and commands into writes."""
