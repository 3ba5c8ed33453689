"""The error for requests of Label Studio that cannot be answered.

`pam_labeling/errors.py` draws the tree that it belongs to.
"""

from __future__ import annotations

from pam_labeling.errors import InputError


class RequestError(InputError):
    """A request that cannot be answered; the message is a sentence for whoever sent it."""
