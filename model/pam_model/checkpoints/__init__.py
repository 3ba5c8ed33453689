"""Published and own checkpoints: found, read, checked, written."""
