"""Pre-annotate whole projects through Label Studio's API; the command `pam-labeling prelabel`.

`selection` says which tasks to do, `source` streams them, `run` predicts them, `sink` writes each
prediction exactly once, `report` shows progress and failures, `command` connects these parts.
"""
