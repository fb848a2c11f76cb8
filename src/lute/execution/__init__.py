"""The parent's side of a run, and what both sides share."""
