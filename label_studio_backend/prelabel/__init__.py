"""Pre-annotate whole projects through Label Studio's API; the command `pam-labeling prelabel`.

`selection` says which tasks, `source` streams them, `run` predicts and writes them, `sink` writes
each prediction exactly once, `report` tells people about it, `command` joins them.
"""
