"""Selection methods: one a file, one signature, one result."""
