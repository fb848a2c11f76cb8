"""Parameter models: what a Task may be told, with types."""
