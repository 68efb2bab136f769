"""What every stage is made of: key, folder, reference, cache, and its line in the log.

What comes in: what a stage depends on, and the function that makes it. What it leaves: `data/<stage>/<key>/`, whole or
absent, and a small frozen reference to it.
"""
