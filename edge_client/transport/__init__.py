"""What carries messages between the edge and a server."""
