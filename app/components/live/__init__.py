"""Live answers on the Generations page."""
