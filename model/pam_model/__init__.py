"""PAM, Perceive Anything (arXiv 2506.05302): turn an image and prompts into masks and words.

`__init__.pyi` lists the exported names. They are loaded on first use, because torch takes seconds
to import.
"""

import lazy_loader

from pam_model.renamed import load_renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = load_renamed(
    __name__,
    _load,
    {"EverythingOptions": "AutomaticMaskOptions", "PictureFeatures": "ImageFeatures"},
)
