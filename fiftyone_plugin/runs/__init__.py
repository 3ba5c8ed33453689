"""Do a run on a view: write answers, keep old values for undo, and record the run."""
