"""The review panel: captions and labels, one region after the other."""
