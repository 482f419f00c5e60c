"""The bytes of a checkpoint: flat keys, read without running code, with a digest over all of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medseg.errors import CheckpointError, Fault


def pack_checkpoint(state: Mapping[str, Any]) -> bytes:
    """`state` with its ``digest``, as ``torch.load(…, weights_only=True)`` reads it."""
    stream = io.BytesIO()
    torch.save(dict(state) | {"digest": content_digest(state)}, stream)
    return stream.getvalue()


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> Any:
    """What a checkpoint file holds; a file without a digest (of another program) is read as it is.

    Raises:
        CheckpointError: E101 no file; E105 a damaged one, or one whose content is not what its digest says.
    """
    if not Path(path).is_file():
        fix = "train first, or pass --checkpoint_file"
        raise CheckpointError(Fault("E101", "no checkpoint at this path", fix, file=path))
    fix = "use another checkpoint (last.prev.pt, best.pt)"
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged bytes make the reader fail in many ways
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        what = f"damaged, or not a checkpoint ({reason})"
        raise CheckpointError(Fault("E105", what, fix, "a file of torch.save", file=path)) from error
    if isinstance(content, dict) and "digest" in content and content_digest(content) != content["digest"]:
        raise CheckpointError(Fault("E105", "the checkpoint's content does not match its digest", fix, file=path))
    return content


def content_digest(state: Mapping[str, Any]) -> str:
    """BLAKE2b-128 over every key, number and tensor of a checkpoint but its ``digest``, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, {key: value for key, value in state.items() if key != "digest"})
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _feed(digest, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed(digest, part)
    else:
        digest.update(repr(value).encode())
