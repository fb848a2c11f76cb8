"""The door to the parameter models."""
