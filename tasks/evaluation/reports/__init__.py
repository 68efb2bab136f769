"""The figures of a run as an HTML page, Markdown, text for a terminal, a plot and a model card.

What comes in: figures. What it leaves: text in which samples and names are escaped.
"""
