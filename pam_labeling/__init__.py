"""Turn images and prompts into annotated regions; every platform is built on this package.

`__init__.pyi` lists the exported names. They are loaded on first use, so that the command line
answers --help without torch.
"""

import lazy_loader

from pam_model.renamed import load_renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = load_renamed(
    __name__,
    _load,
    {"Picture": "LoadedImage", "PictureError": "ImageError", "read_picture": "read_image"},
)
