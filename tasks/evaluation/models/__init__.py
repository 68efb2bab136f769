"""How models are compared: samples and held-out losses in, figures and a verdict out.

What comes in: what each model wrote, and its loss on each held-out document. What it leaves: figures, and whether the
new model may become the champion.
"""
