"""The `palm` command: parses, calls, prints."""
