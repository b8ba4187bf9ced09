"""A version of the memory service after this one, as updates meet it."""
