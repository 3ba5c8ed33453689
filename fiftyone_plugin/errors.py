"""What the plugin says when it cannot do what it was asked."""

from __future__ import annotations


class PluginError(ValueError):
    """A sentence for the person at the form or the log: what is wrong, and what to do."""
