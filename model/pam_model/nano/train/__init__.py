"""The program that trains nano. Its losses, loop and state can serve fine-tuning too."""
