"""`plan`: what a file would change, by the same code by which the operator decides."""
