"""Statistics on arrays: summaries, tests, bootstrap intervals."""
