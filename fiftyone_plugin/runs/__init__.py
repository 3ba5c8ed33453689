"""A run over a view: what it writes, what is kept for undo, and its record."""
