"""What leaves the dashboard: the printable report and the shared file."""
