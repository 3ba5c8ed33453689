"""Translate Label Studio's results to prompts, and regions to results."""
