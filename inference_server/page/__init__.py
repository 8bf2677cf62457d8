"""The web page: live cards of the connected edges, and a picture of one's own."""
