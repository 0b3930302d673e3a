"""Selection methods, all with one signature and one result; `parts/` is what they are made of."""
