"""Messages and bytes: the channel between a Task and its Executor, its key, and the results that travel on it."""
