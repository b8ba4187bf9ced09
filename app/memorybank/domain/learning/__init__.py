"""What episodes teach: what was done, how it went, and what of it is no coincidence. Pure."""
