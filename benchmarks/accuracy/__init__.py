"""Rate and accuracy: what every family, profile and codec delivers. Results are JSON, one file a row."""
