"""Reward tables of others: read and checked."""
