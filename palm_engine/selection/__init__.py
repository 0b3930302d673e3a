"""Selection methods: one per file, one signature, one result; `parts/` is what they are made of."""
