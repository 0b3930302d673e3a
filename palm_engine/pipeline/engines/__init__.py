"""Where a build's tasks run: in processes of this machine, or on a Ray cluster."""
