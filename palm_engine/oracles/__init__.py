"""Oracles: given weights, a (near-)optimal policy."""
