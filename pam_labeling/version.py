"""The version of pam-labeling; `pyproject.toml` reads it from here."""

VERSION = "0.2.0"
