"""Kaggle's prostate slices: stacks of numpy, and the same slices after histogram changes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw

SHAPE = (40, 40)
EMPTY_EVERY = 4


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` slices, the last of every four without prostate: (N, H, W, 1) of float64 from 0 to 1.

    Labels are 0.0 and 1.0. Returns `folder`.
    """
    images, labels = [], []
    for number in range(cases):
        image, label = draw(seed, number, shape=SHAPE)
        empty = number % EMPTY_EVERY == EMPTY_EVERY - 1
        images.append(np.where(label, 0.25, image).T if empty else image.T)
        labels.append(np.zeros(SHAPE).T if empty else (label > 0).T)
    stack = np.stack(images)[..., None].astype(np.float64)
    _save(folder / "X_train.npy", stack)
    _save(folder / "y_train.npy", np.stack(labels)[..., None].astype(np.float64))
    _save(folder / "X_train(Clahe).npy", stack**0.5)
    _save(folder / "X_train(Hist).npy", stack**2)
    return folder


def _save(path: Path, array: npt.NDArray) -> None:
    stream = io.BytesIO()
    np.save(stream, array)
    files.write_bytes(path, stream.getvalue())
