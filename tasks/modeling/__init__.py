"""Base models, fine-tuning and generation: the only package that imports torch, transformers and Happy Transformer.

What comes in: a model folder or hub id, token blocks or prompts, and parameters. What it leaves: a model folder with
its history, samples, or losses.

Import its modules where they are used, inside functions: torch and Happy Transformer take six seconds to import.
"""

import os


def set_thread_defaults() -> None:
    """Set what OpenMP and tokenizers read from the environment; call it before torch is imported. Your values win.

    OpenMP threads that spin while they wait slow each other down when other processes need the cores. With a short
    spin a small model trains about as fast on two idle cores, and nearly twice as fast on two busy ones.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # otherwise tokenizers warns when a process is forked
