"""The errors of the model; `pam_labeling.errors` draws the whole tree.

Catch `PamError` for all that is said in a sentence to the person in front of the screen. Any other
exception is a fault in the program.
"""

from __future__ import annotations


class PamError(Exception):
    """Something that a person can put right, or wait for; its text says how."""


class InputError(PamError, ValueError):
    """What was given is wrong: a prompt, a mask, an image, a list of labels, an option."""


class PromptError(InputError):
    """A prompt that means nothing: outside its image, not finite, empty, or contradictory."""


class CheckpointError(PamError, ValueError):
    """A checkpoint that is not there, damaged, or not PAM's."""
