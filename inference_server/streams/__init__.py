"""Streams: what has arrived of their pictures, and what is said and done about it."""
