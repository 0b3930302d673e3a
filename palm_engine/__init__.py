"""PALM Atlas: portfolios of aligned language models."""
