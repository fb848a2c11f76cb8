"""`lute view`: the record as a full-screen program. Needs Textual (extra `tui`)."""
