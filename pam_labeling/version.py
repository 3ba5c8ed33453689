"""The installed version of pam-labeling."""

from importlib.metadata import version

VERSION = version("pam-labeling")
