"""The content of a release: weights, facts, model card and the report of the run.

What comes in: the lineage of a run and its parameters. What it leaves: a folder that can be published, and the report
of the run on this machine.
"""
