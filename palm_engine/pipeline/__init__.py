"""`palm build`, `add`, `evaluate` and what they are made of; every stage can be resumed."""
