"""What runs the steps of a workflow: this machine, Slurm, Airflow."""
