"""Input and output with the Kubernetes API server: connection, client, typed errors, watch
observation.
"""
