"""Where everything is put together: backends, services, faces, and the process around them."""
