"""The plugin's own error."""

from __future__ import annotations

from pam_labeling.errors import InputError


class PluginError(InputError):
    """A sentence for the person at the form or the log: what is wrong, and what to do."""
