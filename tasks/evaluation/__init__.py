"""Evaluation: samples against the template, before against after.

What comes in: plain samples and losses. What it leaves: counts, and tables for people.
"""
