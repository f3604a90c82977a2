"""Arrays in, arrays out: the numerical methods."""
