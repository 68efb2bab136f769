"""Base models, fine-tuning and generation: the only package that imports torch, transformers and Happy Transformer.

Import its modules where they are used, inside functions: torch and Happy Transformer cost six seconds.
"""

import os

# OpenMP threads that wait for each other by spinning stall one another when something else wants the cores. With a
# short spin a small model trains about as fast on two idle cores, and nearly twice as fast on two busy ones.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
