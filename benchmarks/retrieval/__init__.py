"""How well search finds what is asked for: questions of several kinds over memories of our own."""
