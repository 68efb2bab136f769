"""What can be done with releases once they are published, and what is answered.

What comes in: a verb and the name of a release. What it leaves: an answer, as text, Markdown or JSON. Prefect is not
imported here.
"""
