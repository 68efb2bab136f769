"""Deployments: what stands around the flows, so that a team can run them unattended."""
