"""Pre-annotate whole projects through Label Studio's API; the command `pam-labeling prelabel`.

`api` speaks to the server, `selection` says which tasks, `source` streams them, `sink` writes
predictions exactly once, `run` keeps model and network busy, `report` tells people about it.
"""
