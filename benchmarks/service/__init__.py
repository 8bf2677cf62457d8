"""What the server stands: `python -m benchmarks.service`."""
