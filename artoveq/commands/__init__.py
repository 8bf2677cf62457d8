"""The commands, one module for each half; each function imports what it needs, so that the edge runs without torch."""
