"""The error for requests of Label Studio that cannot be answered.

`pam_labeling/errors.py` shows its place in the tree of errors.
"""

from __future__ import annotations

from pam_labeling.errors import InputError


class RequestError(InputError):
    """A request cannot be answered; the message is a sentence for its sender."""
