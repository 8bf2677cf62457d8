"""What the edge makes of a link that changes: `python -m benchmarks.link`."""
