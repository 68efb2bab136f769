"""What a release consists of: its folder, its figures, and the report of the run beside it.

What comes in: the lineage of a run. What it leaves: a folder that can be published.
"""
