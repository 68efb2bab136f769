"""Everything that shows the figures of a run: HTML, Markdown, terminal, model card.

What comes in: figures. What it leaves: text that no sample and no name can break out of.
"""
