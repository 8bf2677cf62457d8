"""The clients in other languages, beside the manifest's figures."""
