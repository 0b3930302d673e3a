"""What tests and benchmarks share: small bundles, fakes, a real browser."""
