"""Workflows: Tasks that need each other. `dag` is pure; `local`, `slurm` and `airflow` are where one can run."""
