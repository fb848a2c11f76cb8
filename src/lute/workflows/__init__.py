"""Workflows: which step comes next, and the engines that run the steps."""
