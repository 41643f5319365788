"""How the models of a run are executed."""

from __future__ import annotations

import enum


class Execution(str, enum.Enum):
    """What becomes of the models that a run watches."""

    EAGER = "eager"
    """They run as the training's code has them."""
    COMPILED = "compiled"
    """``torch.compile`` compiles them in place when they are watched."""
