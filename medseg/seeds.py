"""Seeds as pure functions: a sample's from (seed, epoch, index), a step's from (seed, iteration)."""

from __future__ import annotations

import hashlib


def pure_seed(*parts: int | str) -> int:
    """A 31-bit seed that depends on its arguments alone: on no state, no platform and no hash randomisation."""
    parts = tuple(part if isinstance(part, str) else int(part) for part in parts)  # NumPy's integers print otherwise
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "little") & 0x7FFFFFFF
