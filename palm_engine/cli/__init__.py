"""The `palm` command."""
