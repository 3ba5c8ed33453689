"""The program that trains nano. Its losses, loop and state can also serve fine-tuning."""
