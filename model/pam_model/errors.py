"""The errors of the model; `pam_labeling.errors` draws the whole tree.

Catch `PamError` for everything that the user can be told in a sentence. Any other exception is a
fault in the program.
"""

from __future__ import annotations


class PamError(Exception):
    """Something that the user can put right or wait for; the message says how."""


class InputError(PamError, ValueError):
    """The input is wrong: a prompt, a mask, an image, a list of labels or an option."""


class PromptError(InputError):
    """A prompt that means nothing: it is outside its image, not finite, empty or contradictory."""


class CheckpointError(PamError, ValueError):
    """A checkpoint that is missing, damaged or not PAM's."""
