"""The command `pam-labeling`, with its options, overlays and progress bars."""
