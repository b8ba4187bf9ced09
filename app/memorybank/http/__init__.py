"""REST: thin routes over the services, and what surrounds every request."""
