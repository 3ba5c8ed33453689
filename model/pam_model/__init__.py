"""PAM, Perceive Anything (arXiv 2506.05302): an image and prompts in, masks and words out.

What it exports is listed in `__init__.pyi`, and loaded on first use: torch takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
