"""`lute view`: the record as a full-screen program, with Textual (extra `tui`)."""
