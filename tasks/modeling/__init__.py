"""Base models, fine-tuning and generation: the only package that imports torch, transformers and Happy Transformer.

Import its modules where they are used, inside functions: torch and Happy Transformer cost six seconds.
"""
