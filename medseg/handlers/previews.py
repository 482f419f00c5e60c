"""Pictures and slices of image, reference and prediction while a workflow runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.volumes import read_volume
from medseg.volumes.overlay import draw_case, draw_rebuilt
from medseg.volumes.stack import COARSE, FINE, Detail, make_stack, write_stack

FEW_CASES = 12  # a page has room for more of their slices

logger = logging.getLogger(__name__)


class Previews:
    """Write ``<output_dir>/previews/<case>.png`` and ``.npz`` for the cases that an evaluator sees.

    Of several processes each draws its own cases, where it has this handler.

    The one is a picture, the other the slices that pages scroll through (`medseg.volumes.stack`): of large volumes they
    are reduced, less so where all of at most 12 cases are drawn. A case that cannot be shown so (it has more than 255
    labels) has the picture alone, and the log says why. Of a network that rebuilds images, whose predictions are no
    label maps, the picture shows the image that the network was fed, the reconstruction and their difference.

    Args:
        labels: names and colours.
        limit: how many cases of each evaluation; None draws all.
        evaluator: the engine to watch, where the handler itself is attached to a trainer.
    """

    def __init__(
        self,
        output_dir: str | Path,
        labels: Mapping[str, int | Sequence[int]],
        limit: int | None = None,
        evaluator: Engine | None = None,
    ) -> None:
        self.folder, self.labels = Path(output_dir) / "previews", Labels(labels)
        self.limit, self.evaluator, self.drawn = limit, evaluator, 0

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, or to a trainer whose evaluator was given."""
        watched = self.evaluator or engine
        watched.add_event_handler(Events.EPOCH_STARTED, self._restart)
        watched.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _restart(self, engine: Engine) -> None:
        self.drawn = 0

    def __call__(self, engine: Engine) -> None:
        """Draw the cases of this iteration."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            if self.limit is None or self.drawn < self.limit:
                few = self.limit is None and _cases(engine) <= FEW_CASES
                self._draw(item, output, FINE if few else COARSE)
                self.drawn += 1

    def _draw(self, item: Mapping[str, Any], output: Mapping[str, Any], detail: Detail) -> None:
        case, prediction, reference = item["case"], output[CommonKeys.PRED], output.get(CommonKeys.LABEL)
        if reference is not None and _has_fractions(prediction):
            files.write_bytes(self.folder / f"{case}.png", draw_rebuilt(*_volumes(reference, prediction), title=case))
            return
        image = read_volume(prediction.meta["filename_or_obj"])
        masks = {"reference": None if reference is None else _map(reference), "prediction": _map(prediction)}
        files.write_bytes(self.folder / f"{case}.png", draw_case(image, masks, self.labels, title=case))
        try:
            stack = make_stack(image, masks, self.labels, detail, item.get("modality", ""))
        except ValueError as error:  # an evaluation goes on without
            logger.warning("no slices of case %s for the report: %s", case, error)
            return
        write_stack(self.folder / f"{case}.npz", stack)


def _cases(engine: Engine) -> int:
    """How many all processes evaluate together."""
    return len(getattr(engine.state.dataloader, "dataset", engine.state.dataloader))


def _has_fractions(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and bool((tensor != tensor.round()).any())


def _volumes(image: torch.Tensor, rebuilt: torch.Tensor) -> tuple[npt.NDArray, npt.NDArray, Geometry]:
    """Image and reconstruction (1, X, Y[, Z]) as (X, Y, Z), and their grid."""
    first, second = (torch.as_tensor(tensor).float().cpu().numpy()[0] for tensor in (image, rebuilt))
    if first.ndim == 2:
        first, second = first[..., None], second[..., None]
    unit = getattr(image, "meta", {}).get("unit", "mm")
    return first, second, Geometry(np.asarray(image.affine.cpu()), first.shape, unit)


def _map(tensor: torch.Tensor) -> npt.NDArray[np.integer]:
    values = torch.as_tensor(tensor).cpu().numpy()[0]
    return values if values.dtype.kind in "iu" else values.round().astype(np.int32)
