"""A training as a process: its job, torchrun, checkpoints, and the folders that it shares with other machines.

What comes in: references, parameters and a key. What it leaves: checkpoints while it runs, and a model folder in the
end.
"""
