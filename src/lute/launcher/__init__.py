"""The small process that forks Tasks and spawns programs."""
