"""Which case is in which fold: seeded, by group, the same on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.settings import number


def hold_out(cases: Sequence[Case], fraction: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Split cases into (training, held out) so that a group (a patient) is on one side only.

    Groups are ordered by BLAKE2b of ``"<seed>:<group>"``, so that neither listing order nor library version nor
    platform matters; groups from the front are held out until `fraction` of the cases is reached.

    Raises:
        UsageError: E903, if `fraction` does not lie between 0 and 1.
        DataError: if one of the two sides would be empty.
    """
    number("held_out", fraction, 0.0, 1.0)
    groups = sorted({case.group for case in cases}, key=lambda group: order_key(group, seed))
    wanted = math.ceil(fraction * len(cases))
    held: set[str] = set()
    for group in groups:
        if sum(case.group in held for case in cases) >= wanted:
            break
        held.add(group)
    training = [case for case in cases if case.group not in held]
    validation = [case for case in cases if case.group in held]
    if not training or not validation:
        found = f"{len(cases)} cases in {len(groups)} groups, held_out={fraction}"
        fix = "add cases, or choose held_out between 0 and 1 so that both sides keep a group"
        raise DataError(Fault("E502", "the split leaves one side empty", fix, "cases on both sides", found))
    return training, validation


def order_key(group: str, seed: int) -> str:
    """A number in hex that shuffles groups in the same way everywhere."""
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).hexdigest()
