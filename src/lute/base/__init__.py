"""Names, files, processes, secrets, signals, time limits and text for people: what every other folder may use."""
