"""`medseg reconstruct`: what a network that rebuilds images makes of each image, and how far that is from it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medseg import files
from medseg.cases import list_images
from medseg.errors import DataError, Fault
from medseg.handlers.image_error import mean_absolute_error
from medseg.volumes import Volume, write_volume
from medseg.volumes.overlay import draw_rebuilt
from medseg.workflows.trained_run import grid_of, open_run

TABLE = "errors.csv"


def reconstruct_images(run: str | Path, images: str | Path, out: str | Path, overwrite: bool = False) -> Iterator[str]:
    """Rebuild every image of a folder; yields a line for each, and their mean.

    Everything is on the network's grid and in the units that it is fed (windowed and normalised). Written are
    ``<case>.nii.gz``, the reconstruction; ``<case>.png``, image, reconstruction and difference through the middle; and
    ``errors.csv``: mean absolute error of each, and of an image that is everywhere the median of it.

    Args:
        run: a run folder, or its bundle, of a method that rebuilds images.
        images: a folder of images, or a data set; labels are not looked for.
        out: a folder; it must hold no reconstruction of these names, unless `overwrite`.

    Raises:
        UsageError: E903, the run gives masks.
        DataError: E503, files are in the way; what is wrong with an image.
        CheckpointError: the run has no weights.
    """
    opened, folder = open_run(run), Path(out)
    opened.refuse_masks()
    items = list_images(str(images), folder, overwrite)
    if (folder / TABLE).exists() and not overwrite:
        fix = "choose another --out, or pass --overwrite"
        raise DataError(Fault("E503", "a table of this name is there already", fix, found=TABLE, file=folder))
    files.try_folder(folder)
    rows: list[dict[str, Any]] = []
    for item, image in opened.images(items):
        rebuilt = opened.predict(image)
        plain = torch.as_tensor(image.as_tensor()).float()  # type: ignore[attr-defined]
        errors = mean_absolute_error(rebuilt, plain), mean_absolute_error(plain.median(), plain)
        rows.append({"case": item["case"], "group": item["group"], "mae": errors[0], "mae_constant": errors[1]})
        geometry, made = grid_of(image), _array(rebuilt)
        write_volume(folder / f"{item['case']}.nii.gz", Volume(made, geometry))
        files.write_bytes(folder / f"{item['case']}.png", draw_rebuilt(_array(plain), made, geometry, item["case"]))
        yield f"{item['case']}  mean absolute error {errors[0]:.4f} (a constant {errors[1]:.4f})"
    files.write_csv(folder / TABLE, rows)
    means = [statistics.fmean(row[name] for row in rows) for name in ("mae", "mae_constant")]
    yield f"mean of {len(rows)}  {means[0]:.4f} (a constant {means[1]:.4f})"


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    """(X, Y, Z) of the first channel of (C, X, Y[, Z])."""
    array = tensor.numpy()[0]
    return array if array.ndim == 3 else array[..., None]
