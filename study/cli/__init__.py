"""The `esbn` command line: each command parses, calls one function of a room, and prints."""
