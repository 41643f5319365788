"""torcheval's metrics, imported without a word."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # torcheval scripts some functions when it is imported, and newer torch deprecates that.
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.script`")
    from torcheval.metrics import Mean, MulticlassAccuracy, Perplexity

__all__ = ["Mean", "MulticlassAccuracy", "Perplexity"]
