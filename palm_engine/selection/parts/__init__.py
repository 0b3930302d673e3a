"""What selection methods are made of: covers, cuts, oracle calls, the sandwich."""
