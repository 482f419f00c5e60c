"""What each transform of a bundle does to one case, one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import RandomizableTrait, Transform

from medseg.caches.slices import CachedSlices
from medseg.geometry import Geometry
from medseg.reports.description import Step

IMAGE, LABEL = "image", "label"
TRIES = 24  # until a random transform that is seldom applied shows what it does
NOT_SHOWN = {"_target_", "_disabled_", "_requires_", "_desc_", "_mode_", "keys", "allow_missing_keys"}
LONGEST = 60  # letters of an argument

Item = dict[str, Any]


def trace(parser: ConfigParser, item: Mapping[str, Any], dataset: Any) -> Iterator[Step]:
    """A training case after each of ``deterministic`` and of ``train::augmentation`` in turn.

    Args:
        parser: of a bundle.
        item: of ``cases::train``: paths of image and label.
        dataset: ``train::dataset``; where it gives slices, the fullest one goes on to the augmentation.

    Raises:
        DataError: what a transform refuses.
    """
    data, grid = dict(item), None
    for identity in ("deterministic", "train::augmentation"):
        if identity == "train::augmentation" and isinstance(dataset, CachedSlices):
            data = _fullest_slice(data)
            grid = _grid(data[IMAGE], grid)
            yield Step("Slice", (), False, True, _array(data[IMAGE]), _label(data), grid)
        for number in range(len(parser[identity] or ())):
            transform = parser.get_parsed_content(f"{identity}::{number}")
            if transform is None:  # disabled
                continue
            before, data = data, _applied(transform, data)
            if IMAGE not in data or not isinstance(data[IMAGE], torch.Tensor):
                continue
            grid = _grid(data[IMAGE], grid)
            is_random = isinstance(transform, RandomizableTrait)
            yield Step(type(transform).__name__, _arguments(parser, f"{identity}::{number}", transform), is_random,
                       _differs(before, data), _array(data[IMAGE]), _label(data), grid)  # fmt: skip


def _applied(transform: Any, data: Item) -> Item:
    """The item after a transform; after the first draw that changes it, where it draws."""
    if not isinstance(transform, RandomizableTrait):
        return dict(transform(_copy(data)))
    for seed in range(TRIES):
        transform.set_random_state(seed=seed)
        result = dict(transform(_copy(data)))
        if _differs(data, result):
            break
    return result


def _copy(data: Item) -> Item:
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in data.items()}


def _differs(before: Item, after: Item) -> bool:
    """Whether image or label changed, in values, size or place."""
    for key in (IMAGE, LABEL):
        old, new = before.get(key), after.get(key)
        if not isinstance(new, torch.Tensor):
            continue
        if not isinstance(old, torch.Tensor) or old.shape != new.shape or not torch.equal(_plain(old), _plain(new)):
            return True
        if isinstance(old, MetaTensor) and isinstance(new, MetaTensor) and not torch.equal(old.affine, new.affine):
            return True
    return False


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _fullest_slice(data: Item) -> Item:
    """The slice across the last axis with most label, as (C, X, Y)."""
    label = _label(data)
    counts = np.zeros(data[IMAGE].shape[-1]) if label is None else np.count_nonzero(label, axis=(0, 1))
    place = int(np.argmax(counts)) if counts.any() else len(counts) // 2
    return {key: value[..., place] if isinstance(value, torch.Tensor) else value for key, value in data.items()}


def _array(tensor: torch.Tensor) -> npt.NDArray:
    """(C, X, Y, Z), whatever the tensor was."""
    array = _plain(tensor).cpu().numpy()
    return array if array.ndim == 4 else array[..., None]


def _label(data: Item) -> npt.NDArray[np.integer] | None:
    """(X, Y, Z), of a label map or of one channel a label; None while it is not on the image's grid (yet)."""
    if not isinstance(data.get(LABEL), torch.Tensor):
        return None
    array = _array(data[LABEL])
    if array.shape[1:] != _array(data[IMAGE]).shape[1:]:  # the next transform brings it there
        return None
    return np.rint(array[0]).astype(np.int32) if len(array) == 1 else array.argmax(axis=0).astype(np.int32)


def _grid(image: torch.Tensor, before: Geometry | None) -> Geometry:
    """The grid of an image; where it lost its affine, with that of the step before."""
    shape = _array(image).shape[1:]
    affine, unit = (before.affine, before.unit) if before else (np.eye(4), "mm")
    if isinstance(image, MetaTensor):
        affine, unit = np.eye(4), image.meta.get("unit", unit)
        known = image.affine.cpu().numpy()
        affine[: len(known) - 1, : len(known) - 1], affine[: len(known) - 1, 3] = known[:-1, :-1], known[:-1, -1]
    return Geometry(affine, shape, unit)


def _arguments(parser: ConfigParser, identity: str, transform: Transform) -> tuple[tuple[str, str], ...]:
    """The arguments that a configuration gives and that are not the defaults, resolved."""
    try:
        defaults = inspect.signature(type(transform).__init__).parameters
    except (TypeError, ValueError):
        defaults = {}  # type: ignore[assignment]
    found = []
    for name in parser[identity]:
        if name in NOT_SHOWN:
            continue
        value = parser.get_parsed_content(f"{identity}::{name}")
        if name not in defaults or repr(defaults[name].default) != repr(value):
            text = value if isinstance(value, str) else repr(value)
            found.append((name, text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"))
    return tuple(found)
