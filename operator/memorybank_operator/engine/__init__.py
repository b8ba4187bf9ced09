"""What drives reconciles: a cache of what is watched, and a queue that says which bank is next."""
