"""Several processes behind the same ports: front ends, and a decoder's process for each device."""
