"""A training as a process: its job, torchrun, checkpoints, and the folders that it shares with other machines.

What comes in: references, parameters and a key. What it leaves: a model folder, and checkpoints while it runs.
"""
