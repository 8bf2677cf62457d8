"""Who may use the server, and how much."""

from inference_server.access.access import Access
from inference_server.access.tokens import Caller

__all__ = ["Access", "Caller"]
