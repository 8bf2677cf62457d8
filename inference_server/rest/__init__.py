"""REST beside gRPC: a picture in, an answer out, for callers without an edge encoder."""
