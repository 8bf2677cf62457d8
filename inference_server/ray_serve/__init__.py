"""The service on Ray Serve, for several machines: replicas that come and go, one address before them."""
