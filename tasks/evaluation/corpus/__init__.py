"""The corpus report: what a corpus consists of, and how far a held-out loss on it can be trusted.

What comes in: templates and documents. What it leaves: figures, and the same figures as rows and text.
"""
