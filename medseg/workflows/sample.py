"""`medseg sample`: new images from a variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medseg import files
from medseg.errors import DataError, Fault, UsageError
from medseg.geometry import Geometry
from medseg.networks import VarAutoEncoder
from medseg.settings import whole_number
from medseg.volumes import Volume, write_volume
from medseg.volumes.overlay import draw_beside
from medseg.volumes.slice_pixels import intensity_window
from medseg.workflows.trained_run import open_run

SHEET = "samples.png"


def sample_images(run: str | Path, n: int, out: str | Path, seed: int = 0, overwrite: bool = False) -> Iterator[str]:
    """Decode `n` draws of the prior; yields the path of each file.

    Written are ``sample_<i>.nii.gz``, in the units that the network is fed, with voxels of 1 mm (what a voxel measures
    was lost when volumes were brought to one size), and ``samples.png``, all of them side by side through the middle.
    Sample i hangs on (seed, i) alone.

    Raises:
        UsageError: E903, no variational autoencoder that rebuilds images, or `n` is no whole number above 0.
        DataError: E503, files are in the way.
        CheckpointError: the run has no weights.
    """
    opened, folder = open_run(run), Path(out)
    opened.refuse_masks()
    if not isinstance(opened.network, VarAutoEncoder):
        fix = "name a run of a variational autoencoder, as pretrain_vae of liver_ct"
        found = type(opened.network).__name__
        raise UsageError(Fault("E903", "nothing can be drawn from this network", fix, "VarAutoEncoder", found, run))
    names = [f"sample_{index}.nii.gz" for index in range(whole_number("n", n))]
    taken = [name for name in (*names, SHEET) if (folder / name).exists()]
    if taken and not overwrite:
        fix = "choose another --out, or pass --overwrite"
        raise DataError(Fault("E503", "files of these names are there already", fix, found=", ".join(taken[:4]),
                              file=folder))  # fmt: skip
    files.try_folder(folder)
    arrays = opened.network.sample(n, seed).float().cpu().numpy()[:, 0]
    arrays = arrays if arrays.ndim == 4 else arrays[..., None]
    geometry, window = Geometry(np.eye(4), arrays.shape[1:]), intensity_window(list(arrays))
    for name, array in zip(names, arrays, strict=True):
        yield str(write_volume(folder / name, Volume(array, geometry)))
    columns = {name.removesuffix(".nii.gz"): (array, window) for name, array in zip(names, arrays, strict=True)}
    yield str(files.write_bytes(folder / SHEET, draw_beside(columns, geometry)))
