"""The command. It knows every package by name, and imports only what a command needs."""
