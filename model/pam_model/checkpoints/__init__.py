"""Checkpoints, published ones and our own: find, read, check and write them."""
