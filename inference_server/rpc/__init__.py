"""The gRPC service: a thin adapter around streams and models."""
