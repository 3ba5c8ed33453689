"""Run over a view: write answers, keep old values for undo, and record the run."""
