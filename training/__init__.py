"""From pictures to an artifact: networks, codebooks, stages, export."""
