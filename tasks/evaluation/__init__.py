"""Evaluation: reports on a corpus, comparisons of models, and their pages and tables.

What comes in: documents, templates, samples and losses. What it leaves: figures, a verdict, and reports of both.
"""
