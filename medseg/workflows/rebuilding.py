"""Which runs rebuild images instead of giving masks, and what such a run is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medseg.errors import Fault, UsageError

SCORE = "medseg.handlers.ImageError"


def rebuilds_images(config: Mapping[str, Any]) -> bool:
    """Whether a merged training configuration is of a network that rebuilds images: it is validated by `SCORE`."""
    key = config.get("validate", {}).get("key_metric") or {}
    return any(isinstance(part, Mapping) and part.get("_target_") == SCORE for part in key.values())


def refuse_masks() -> None:
    """Stand in ``initialize`` of the inference configuration of such a run: there are no masks to write.

    Raises:
        UsageError: E903, always.
    """
    fix = "look at its images with medseg reconstruct, or fine-tune a method that gives masks: start_from=<this run>"
    what = "this network rebuilds images and gives no masks"
    raise UsageError(Fault("E903", what, fix, "a network that was trained on labels"))
