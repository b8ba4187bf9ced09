"""A real Kubernetes cluster for development and tests, from package registries alone.

`python -m e2e.cluster up` starts one; docs/development/cluster.md explains the rest. Integration
tests use the same binaries for a bare API server (see `apiserver`).
"""
