"""Between reading and deciding: what is missing is filled, what is wrong is found and not used."""
