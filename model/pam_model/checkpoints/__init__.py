"""Find, read, check and write checkpoints, published ones and our own."""
