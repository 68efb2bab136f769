"""What a person sees of a run: log lines, progress bars, artifacts in the Prefect UI.

What comes in: log records and counts. What it leaves: lines and artifacts; nothing here changes what a run makes.
"""
