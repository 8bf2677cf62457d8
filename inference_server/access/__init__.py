"""Who may use the server, and how much."""

from inference_server.access.access import Access

__all__ = ["Access"]
