"""The web page: runs, their state while they live, figures and trends, and the same as JSON (extra `web`)."""
