"""Name our predictions in Label Studio, and recognise them by their names.

Each name ends with "(pam-labeling)" or "(pam-labeling 0.1.0)". Our own prediction must never become
the prompt of the next one, which would only repeat it.
"""

from __future__ import annotations

import re
from pathlib import Path

from pam_labeling.version import VERSION

_OWN = re.compile(r"\(pam-labeling( [^()]*)?\)\s*$")


def usual_version(model: str) -> str:
    """The default name of predictions: model and version.

    Args:
        model: the checkpoint, as `PAM_MODEL` names it.
    """
    return f"{Path(model).name} (pam-labeling {VERSION})"


def marked_version(name: str) -> str:
    """A name that the user chose, with "(pam-labeling)" behind it unless it is marked already.

    It has no version, so that the same name means the same predictions even after an update.
    """
    return name if is_own(name) else f"{name} (pam-labeling)"


def is_own(version: object) -> bool:
    """Whether a prediction with this `model_version` is ours."""
    return isinstance(version, str) and _OWN.search(version) is not None
