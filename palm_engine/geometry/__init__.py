"""Exact geometry of portfolios on the simplex: numpy and scipy only."""
