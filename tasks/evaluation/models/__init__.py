"""Comparison of models: from samples and held-out losses to figures and a verdict.

What comes in: the samples of each model, and its loss on each held-out document. What it leaves: figures, and whether
the new model may become the champion.
"""
