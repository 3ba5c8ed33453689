"""From media and prompts to annotated regions; what every platform stands on.

The exported names are listed in `__init__.pyi` and loaded on first use: the command line answers
--help without torch.
"""

import lazy_loader

from pam_model.renamed import load_renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = load_renamed(
    __name__,
    _load,
    {"Picture": "LoadedImage", "PictureError": "ImageError", "read_picture": "read_image"},
)
