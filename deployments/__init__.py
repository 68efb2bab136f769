"""Deployments: everything that a team needs to run the flows unattended with a Prefect server."""
