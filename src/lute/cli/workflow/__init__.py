"""`lute workflow`: run, look at and explain workflows."""
