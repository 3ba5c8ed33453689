"""From media and prompts to annotated regions; what every platform stands on.

What it exports is listed in `__init__.pyi`, and loaded on first use: the command line answers
--help without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
