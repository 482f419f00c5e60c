"""One case of the slice cache: its tensors in one file, slice after slice, so that a slice is one piece to map.

    16 bytes      mark, length of the description, CRC-32 of the description
    description   JSON: affine, tensors (type, shape, start), which slices hold label, size and CRC-32 of the body
    body          from the next multiple of 4096 bytes on: each tensor as (Z, C, X, Y), C order, starting at another

One file is whole or not there, whoever else writes it at the same time. The check sum is against damage, not malice
(the folder is the user's own), so CRC-32 does: it sees every change within 32 bits, and isal computes it many times as
fast as BLAKE2, which counts where all entries are read through at every start.

Files are mapped, so that the memory they take is the system's own copy of them, which all workers share and which it
drops when memory is short. A new map costs more than twice what copying a slice does (a page fault for each few pages),
and each holds a file open: so the last 128 are kept.
"""

from __future__ import annotations

import functools
import json
import logging
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from isal import isal_zlib
from monai.data import MetaTensor

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry

logger = logging.getLogger(__name__)

AXES = {"axial": "IS", "coronal": "PA", "sagittal": "LR"}  # the two directions of each axis in an orientation
LABEL = "label"
MARK = b"mslices1"
HEAD = struct.Struct("<8sII")
PAGE = 4096
PIECE = 1 << 20
KEPT_MAPS = 128


@dataclass(frozen=True)
class StoredTensor:
    """Where the slices of one tensor lie: torch's name of the type, (C, X, Y), and the first byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True, eq=False)
class SliceFile:
    """The slices of one case.

    Attributes:
        path, modified_ns: the file, and when it was written: one that takes its place is another.
        tensors: by key of the item.
        affine: (4, 4) of slice 0, voxel (x, y, 0) to millimetres in RAS+; its third column leads to the next slice.
        holds_label: (Z,) whether a slice of ``label`` is not 0 everywhere; None without a label.
        count: Z.
    """

    path: str
    modified_ns: int
    tensors: dict[str, StoredTensor]
    affine: npt.NDArray[np.float64]
    holds_label: npt.NDArray[np.bool_] | None
    count: int

    def read(self, place: int) -> dict[str, MetaTensor]:
        """Slice `place` of each tensor, (C, X, Y) as stored, with the (4, 4) affine of its own position.

        They are copies: no map outlives its turn for their sake.
        """
        affine = self.affine.copy()
        affine[:3, 3] += place * affine[:3, 2]
        result, content = {}, _mapped(self.path, self.modified_ns)
        for key, stored in self.tensors.items():
            tensor = torch.empty(stored.shape, dtype=getattr(torch, stored.dtype))
            start = stored.start + place * tensor.nbytes
            _bytes(tensor)[:] = content[start : start + tensor.nbytes]
            result[key] = MetaTensor(tensor, meta={"affine": torch.from_numpy(affine.copy())})
        return result


def write_slices(path: Path, tensors: Mapping[str, torch.Tensor], axis: str, case: str = "") -> SliceFile:
    """Write the tensors (C, X, Y, Z) of one case, cut along the array axis that lies nearest to `axis`; atomic.

    Raises:
        DataError: E204 no tensor of that shape, E201 or E202 tensors on different grids.
        MedsegError: E701, when the disk is full.
    """
    grid = _shared_grid(tensors, case)
    along = next(i for i, direction in enumerate(grid.orientation) if direction in AXES[axis])
    columns = [i for i in range(3) if i != along] + [along, 3]
    stacks = {key: _plain(tensor).movedim(along + 1, 0).contiguous() for key, tensor in tensors.items()}
    label = stacks.get(LABEL)
    description: dict[str, Any] = {
        "affine": grid.affine[:, columns].tolist(),
        "holds_label": None if label is None else label.flatten(1).any(dim=1).tolist(),
        "count": grid.shape[along],
        "tensors": {},
    }
    end, crc = 0, 0
    for key, stack in stacks.items():
        dtype = str(stack.dtype).removeprefix("torch.")
        description["tensors"][key] = {"dtype": dtype, "shape": stack.shape[1:], "start": end}
        end += stack.nbytes + len(_padding(stack.nbytes))
        crc = isal_zlib.crc32(_padding(stack.nbytes), isal_zlib.crc32(_bytes(stack), crc))
    text = json.dumps(description | {"size": end, "crc32": crc}).encode()
    with files.atomic(path) as temporary, open(temporary, "wb") as stream:
        stream.write(HEAD.pack(MARK, len(text), isal_zlib.crc32(text)) + text + _padding(HEAD.size + len(text)))
        for stack in stacks.values():
            stream.write(_bytes(stack).data)
            stream.write(_padding(stack.nbytes))
    return _described(path, text)


def open_slices(path: Path) -> SliceFile | None:
    """The file at `path` after all its bytes have been compared with their check sums; None if missing or damaged."""
    if not path.is_file():
        return None
    with open(path, "rb") as stream:
        text = _sound_description(stream)
        if text is not None and _sound_body(stream, text):
            return _described(path, text)
    logger.warning("the cache entry %s is damaged; it is computed again", path)
    return None


def _sound_description(stream: BinaryIO) -> bytes | None:
    mark, length, crc = HEAD.unpack(stream.read(HEAD.size).ljust(HEAD.size, b"\0"))
    text = stream.read(length) if mark == MARK else b""
    return text if text and isal_zlib.crc32(text) == crc else None


def _sound_body(stream: BinaryIO, text: bytes) -> bool:
    expected = json.loads(text)
    stream.seek(_body(text))
    size = crc = 0
    for piece in _pieces(stream):
        size, crc = size + len(piece), isal_zlib.crc32(piece, crc)
    return (size, crc) == (expected["size"], expected["crc32"])


def _pieces(stream: BinaryIO) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(PIECE))
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]
        yield buffer[:count]


def _described(path: Path, text: bytes) -> SliceFile:
    content = json.loads(text)
    tensors = {
        key: StoredTensor(stored["dtype"], tuple(stored["shape"]), _body(text) + stored["start"])
        for key, stored in content["tensors"].items()
    }
    holds_label = None if content["holds_label"] is None else np.array(content["holds_label"], dtype=np.bool_)
    return SliceFile(
        str(path), path.stat().st_mtime_ns, tensors, np.array(content["affine"]), holds_label, content["count"]
    )


def _body(text: bytes) -> int:
    """Where the body starts."""
    size = HEAD.size + len(text)
    return size + len(_padding(size))


def _padding(size: int) -> bytes:
    """Zeros up to the next multiple of a page."""
    return bytes(-size % PAGE)


def _bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """The memory of a contiguous tensor."""
    return tensor.view(-1).view(torch.uint8).numpy()


@functools.lru_cache(maxsize=KEPT_MAPS)
def _mapped(path: str, modified_ns: int) -> npt.NDArray[np.uint8]:
    """The bytes of a file, in a map that is kept until this many others have been asked for."""
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _shared_grid(tensors: Mapping[str, torch.Tensor], case: str) -> Geometry:
    """The one grid of all tensors; one without an affine lies where the others lie."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if not shapes or any(len(shape) != 4 for shape in shapes.values()):
        fix = "let the deterministic transforms end with volumes, and drop other tensors (DeleteItemsd)"
        raise DataError(
            Fault("E204", "no volumes to cut into slices", fix, "tensors (C, X, Y, Z)", str(shapes), case=case)
        )
    grids = {
        key: Geometry(np.asarray(tensor.affine), shapes[key][1:])
        for key, tensor in tensors.items()
        if isinstance(tensor, MetaTensor)
    }
    x, y, z = next(iter(shapes.values()))[1:]
    first = next(iter(grids.values()), Geometry(np.eye(4), (x, y, z)))
    fix = "resample them to one grid before they are cut, or drop one (DeleteItemsd)"
    if any(shape[1:] != first.shape for shape in shapes.values()):
        raise DataError(Fault("E201", "the tensors have different shapes", fix, "one grid", str(shapes), case=case))
    apart = max((grid.displacement_mm(first) for grid in grids.values() if not grid.is_same_grid(first)), default=0.0)
    if apart:
        raise DataError(
            Fault("E202", "the tensors lie in different places", fix, "one grid", f"{apart:.4g} mm apart", case=case)
        )
    return first
