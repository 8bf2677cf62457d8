"""The same decoder and the same pictures behind other ways to serve them."""
