"""What a training will take: steps, memory and time, with warnings, before it is started.

What comes in: corpus, tokens, model and parameters. What it leaves: figures, warnings, and a table of both.
"""
