"""The command line of the flows, and the Prefect server of a local run.

What comes in: a flow or a plain function, and words. What it leaves: a run with these parameters, an exit code, and an
error as one sentence instead of a traceback.
"""
