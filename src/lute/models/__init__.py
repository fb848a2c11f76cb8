"""Parameter models and the marks of their fields."""
