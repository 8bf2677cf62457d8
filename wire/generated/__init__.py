"""Made by scripts/proto from proto/; not edited by hand."""
