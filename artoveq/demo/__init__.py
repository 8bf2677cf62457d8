"""The demo: a server and an edge in processes of their own, and a link between them that keeps changing."""
