"""PAM, Perceive Anything (arXiv 2506.05302): an image and prompts in, masks and words out.

The exported names are listed in `__init__.pyi` and loaded on first use, because torch takes
seconds to import.
"""

import warnings

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_RENAMED = {"EverythingOptions": "AutomaticMaskOptions"}


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        message = f"pam_model.{name} is deprecated: write pam_model.{_RENAMED[name]}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
    return _load(_RENAMED.get(name, name))
