"""The command `pam-labeling`: its options, overlays and progress."""
