"""What looks at everything that a cluster has."""
