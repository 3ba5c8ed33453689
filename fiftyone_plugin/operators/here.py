"""What only the machine that does a run can know: its folders, its models, its devices."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..models import check_model

if TYPE_CHECKING:
    from pathlib import Path

    from pam_labeling import Settings


def check_here(settings: Settings, folder: Path | None) -> None:
    """Refuse what this machine lacks, before the model is loaded.

    Args:
        settings: the model's settings.
        folder: the folder for the files of masks, which is made; or None.

    Raises:
        PluginError: the model's folder, the device or the folder of the masks cannot be used.
    """
    check_model(settings, here=True)
    if settings.device is not None:
        # Importing torch takes seconds.
        from pam_model.devices import available  # noqa: PLC0415

        try:
            available(settings.device)
        except InputError as error:
            sentence = str(error)
            raise PluginError(f"{sentence[:1].upper()}{sentence[1:]}.") from error
    if folder is not None:
        _check_folder(folder)


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # permissions alone do not tell: some folders refuse files even from root
    except (OSError, ValueError) as error:  # ValueError: a character that no path can have
        reason = getattr(error, "strerror", None) or error
        raise PluginError(
            f"Masks cannot be written to the folder {str(folder)!r}: {reason}. Choose a folder "
            "that can be written to, or keep the masks in the dataset."
        ) from error
