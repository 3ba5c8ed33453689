"""The plugin's own error."""

from __future__ import annotations

from pam_labeling.errors import InputError


class PluginError(InputError):
    """Something that a person must change; the message says what is wrong, and what to do."""
