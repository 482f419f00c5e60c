"""Which case is in which fold: seeded, by group, stratified, the same on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from medseg.cases.case import Case
from medseg.cases.check import CheckedCase
from medseg.cases.check_all import same_voxels
from medseg.errors import DataError, Fault, UsageError
from medseg.settings import number, whole_number

SIZES = 3  # small, middle and large labels


def hold_out(
    cases: Sequence[Case],
    fraction: float,
    seed: int,
    strata: Mapping[str, Hashable] | None = None,
    fold: int = 0,
) -> tuple[list[Case], list[Case]]:
    """Split cases into (training, held out) so that a group (a patient) is on one side only.

    Groups are ordered by BLAKE2b of ``"<seed>:<group>"``, so that neither listing order nor library version nor
    platform matters; the orders of several strata are dealt into one, each in proportion. Fold 0 holds out the first
    `fraction` of the cases, fold 1 the next, and so on: no case is held out twice.

    Args:
        fraction: the share of the cases that is held out, or a whole number: how many.
        strata: group to stratum, see `strata_of`; without it there is one stratum.

    Raises:
        UsageError: E903, if `fraction` neither lies between 0 and 1 nor is a whole number below that of the cases, or
            there are not that many folds.
        DataError: if one of the two sides would be empty.
    """
    fraction = share("held_out", fraction, len(cases))
    whole_number("seed", seed, 0)
    last = math.floor(1 / fraction + 1e-9) - 1
    if whole_number("fold", fold, 0) > last:
        expected = f"0 to {last}, as held_out is {fraction:g}"
        raise UsageError(
            Fault("E903", "the setting fold has no such value", "choose one of those", expected, str(fold))
        )
    sizes: dict[str, int] = {}
    for case in cases:
        sizes[case.group] = sizes.get(case.group, 0) + 1
    begin, end = (math.ceil(round(edge * fraction * len(cases), 6)) for edge in (fold, fold + 1))
    held, before = set(), 0
    for group in _dealt(sizes, seed, strata or {}):
        if begin <= before < end:
            held.add(group)
        before += sizes[group]
    training = [case for case in cases if case.group not in held]
    validation = [case for case in cases if case.group in held]
    if not training or not validation:
        found = f"{len(cases)} cases in {len(sizes)} groups, held_out={fraction}, fold={fold}"
        fix = "add cases, or choose held_out so that both sides keep a group; held_out=0 trains on all cases"
        raise DataError(Fault("E502", "the split leaves one side empty", fix, "cases on both sides", found))
    return training, validation


def share(name: str, value: float, n_cases: int) -> float:
    """`value`, if it lies between 0 and 1; if it is a whole number below `n_cases`, its share of them; else E903."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < n_cases:
        return value / n_cases
    return number(name, value, 0.0, 1.0)


def strata_of(checked: Sequence[CheckedCase]) -> dict[str, Hashable]:
    """Group to stratum: which label values occur in it, and whether little, a middling amount or much is labelled.

    The amount is the mean volume a case; thirds are of the groups in which the same values occur.
    """
    values: dict[str, set[int]] = {}
    amounts: dict[str, list[float]] = {}
    for each in checked:
        values.setdefault(each.case.group, set()).update(value for value in each.voxels if value)
        amounts.setdefault(each.case.group, []).append(each.labelled_ml())
    strata: dict[str, Hashable] = {}
    for present in {tuple(sorted(found)) for found in values.values()}:
        alike = [group for group, found in values.items() if tuple(sorted(found)) == present]
        alike.sort(key=lambda group: (math.fsum(amounts[group]) / len(amounts[group]), group))
        strata |= {group: (present, place * SIZES // len(alike)) for place, group in enumerate(alike)}
    return strata


def joined_copies(checked: Sequence[CheckedCase]) -> list[CheckedCase]:
    """The same cases; those that hold one image, and everything else of their groups, become one group."""
    leader: dict[str, str] = {}

    def root(group: str) -> str:
        while group in leader:
            group = leader[group]
        return group

    for members in same_voxels(checked):
        first, *others = sorted({root(each.case.group) for each in members})
        leader |= dict.fromkeys(others, first)
    return [replace(each, case=replace(each.case, group=root(each.case.group))) for each in checked]


def order_key(group: str, seed: int) -> str:
    """A number in hex that shuffles groups in the same way everywhere."""
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).hexdigest()


def _dealt(groups: Mapping[str, int], seed: int, strata: Mapping[str, Hashable]) -> list[str]:
    """The groups in an order of which each beginning holds of every stratum in proportion."""
    members: dict[Hashable, list[str]] = {}
    for group in sorted(groups, key=lambda group: order_key(group, seed)):
        members.setdefault(strata.get(group), []).append(group)
    place = {group: (rank + 0.5) / len(order) for order in members.values() for rank, group in enumerate(order)}
    return sorted(groups, key=lambda group: (place[group], order_key(group, seed)))
