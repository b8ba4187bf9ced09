"""What the Makefile calls: the tools of the checkout itself."""
