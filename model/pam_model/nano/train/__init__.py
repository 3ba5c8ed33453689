"""The program that trained nano. Its parts (losses, loop, state) serve fine-tuning as well."""
