"""`palm build`: one file per stage, each resumable."""
