"""What a training will take, before anything is spent.

What comes in: corpus, tokens, model and parameters. What it leaves: figures, warnings, and a table of both.
"""
