"""Registry: finds published releases and works with them (list, promote, roll back, fetch, verify, prune).

What comes in: the name of a release. What it leaves: an answer, as text, Markdown or JSON. Prefect is not imported
here.
"""
