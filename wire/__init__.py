"""What both ends agree on: pictures, bit-planes, artifact, messages and errors."""
