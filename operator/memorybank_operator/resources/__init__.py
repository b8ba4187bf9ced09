"""Pure builders, one file per Kubernetes object: no API, no clock, no randomness."""
