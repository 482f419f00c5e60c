"""Read every case of a data set and say all that is wrong, before any training."""

from __future__ import annotations

import logging
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tqdm import tqdm

from medseg.cases.case import Case
from medseg.cases.check import CheckedCase, check_case
from medseg.cases.faults import refuse, summed_up
from medseg.cases.layouts import DataSet
from medseg.errors import Fault
from medseg.labels import Labels

logger = logging.getLogger(__name__)

MOST_THREADS = 8  # each holds a case
ODD_SPACING = 4.0  # times the median


@dataclass(frozen=True)
class Check:
    """What a check of a data set has found: its cases in their order, and every fault, warnings included."""

    data_set: DataSet
    labels: Labels | None
    cases: list[CheckedCase]
    faults: list[Fault]

    @property
    def errors(self) -> list[Fault]:
        """The faults for which training refuses the data set."""
        return [fault for fault in self.faults if not fault.is_warning]


def check_data_set(data_set: DataSet, labels: Labels | None = None) -> Check:
    """Read all cases of a data set; label values are compared with `labels`, or with those the data set names."""
    labels = labels or data_set.labels
    checked = check_cases(data_set.cases, labels)
    faults = [fault for each in checked for fault in each.faults]
    return Check(data_set, labels, checked, faults + unlabelled(data_set.cases) + compare_cases(checked))


def check_cases(cases: Sequence[Case], labels: Labels | None = None) -> list[CheckedCase]:
    """Read all cases, several at a time, in the cases' order."""
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        found = pool.map(lambda case: check_case(case, labels), cases)
        return list(tqdm(found, "checking", len(cases), unit="case", disable=None))


def refuse_faulty(cases: Sequence[Case], labels: Labels | None = None) -> list[CheckedCase]:
    """Check cases that are about to be used; warnings go to the log.

    Raises:
        DataError: the first 20 faults of all cases, and how many more there are.
    """
    checked = check_cases(cases, labels)
    faults = [fault for each in checked for fault in each.faults] + compare_cases(checked)
    refuse([fault for fault in faults if not fault.is_warning])
    for line in summed_up(faults):
        logger.warning(line)
    return checked


def compare_cases(checked: Sequence[CheckedCase]) -> list[Fault]:
    """What shows only when cases are compared: copies, shared patients, odd colours, odd spacing."""
    return [
        *_copies(checked),
        *_shared_groups([each.case for each in checked]),
        *_mixed_channels(checked),
        *_odd_spacing(checked),
        *_black_and_white(checked),
    ]


def same_voxels(checked: Iterable[CheckedCase]) -> list[list[CheckedCase]]:
    """Cases that hold one image, two or more together."""
    together: dict[object, list[CheckedCase]] = {}
    for each in checked:
        if each.fingerprint is not None and each.lowest < each.highest:
            together.setdefault(each.fingerprint, []).append(each)
    return [members for members in together.values() if len(members) > 1]


def _copies(checked: Sequence[CheckedCase]) -> list[Fault]:
    faults = []
    for first, *copies in same_voxels(checked):
        for copy in copies:
            apart = first.case.meta.get("subset") != copy.case.meta.get("subset")
            code, fix = (
                ("E502", "remove one of the two") if apart else ("W501", "remove one; a split keeps them together")
            )
            what = "the same image stands on both sides of the data set's own split" if apart else "a copy of an image"
            faults.append(Fault(code, what, fix, found=first.case.id, file=copy.case.images[0], case=copy.case.id))
    return faults


def _shared_groups(cases: Sequence[Case]) -> list[Fault]:
    """Patients whom the data set's own split has on two sides."""
    sides: dict[str, dict[str, Case]] = {}
    for case in cases:
        sides.setdefault(case.group, {}).setdefault(str(case.meta.get("subset", "train")), case)
    fix = "move all of the patient's cases to one side"
    return [
        Fault("E502", "one patient stands on both sides of the data set's own split", fix,
              found=f"{group}: {', '.join(f'{case.id} ({side})' for side, case in found.items())}",
              file=list(found.values())[-1].images[0], case=list(found.values())[-1].id)
        for group, found in sides.items()
        if len(found) > 1
    ]  # fmt: skip


def _mixed_channels(checked: Sequence[CheckedCase]) -> list[Fault]:
    read = [each for each in checked if each.channels]
    if len({each.channels for each in read}) < 2:
        return []
    usual = Counter(each.channels for each in read).most_common(1)[0][0]
    fix = "make all of them grey, or all coloured (equal red, green and blue are grey), or leave these cases out"
    return [
        Fault("E206", "another number of channels than most cases have", fix, str(usual), str(each.channels),
              each.case.images[0], each.case.id)
        for each in read
        if each.channels != usual
    ]  # fmt: skip


def _odd_spacing(checked: Sequence[CheckedCase]) -> list[Fault]:
    spacings = {each.case.id: sorted(each.grid.spacing_mm) for each in checked if each.grid and each.grid.unit == "mm"}
    if not spacings:
        return []
    medians = [statistics.median(spacing[axis] for spacing in spacings.values()) for axis in range(3)]
    fix = "check the header; if it is right, the case will be resampled far"
    faults = []
    for each in checked:
        spacing = spacings.get(each.case.id)
        if spacing and any(
            not 1 / ODD_SPACING <= size / usual <= ODD_SPACING for size, usual in zip(spacing, medians, strict=True)
        ):
            expected, found = (" x ".join(f"{size:.4g}" for size in sizes) + " mm" for sizes in (medians, spacing))
            faults.append(Fault("W206", "a spacing far from that of the other cases", fix, f"about {expected}", found,
                                each.case.images[0], each.case.id))  # fmt: skip
    return faults


def _black_and_white(checked: Sequence[CheckedCase]) -> list[Fault]:
    found = [each.white for each in checked if each.white is not None]
    return [replace(found[0], found=f"{len(found)} {'case' if len(found) == 1 else 'cases'}")] if found else []


def unlabelled(cases: Sequence[Case]) -> list[Fault]:
    """W101, where cases that the data set does not keep apart have no label of any kind."""
    usual = [case for case in cases if "subset" not in case.meta and not case.negative and not case.image_labels]
    without = [case for case in usual if case.label is None]
    if not without:
        return []
    names = ", ".join(case.id for case in without[:5]) + (", …" if len(without) > 5 else "")
    fix = (
        "add the labels; without them a trained model can be applied"
        if len(without) == len(usual)
        else ("nothing, if they are not to be trained on; or add the labels")
    )
    return [Fault("W101", f"{len(without)} of {len(usual)} images have no label", fix, found=names,
                  file=without[0].images[0], case=without[0].id)]  # fmt: skip
