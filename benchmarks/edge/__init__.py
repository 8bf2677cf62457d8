"""What the edge costs, and whether it keeps up: `python -m benchmarks.edge`."""
