"""Known data-set layouts, one file each; `read_data_set` recognises a folder by looking at it."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from medseg.cases.case import Case
from medseg.cases.layouts import (
    bids,
    chest_xray_masks,
    chest_xray_pneumonia,
    csv_pairs,
    drive,
    finding_lungs,
    flat,
    isic2018,
    lits,
    liver_folders,
    montgomery,
    msd,
    nih_chest_xray,
    nnunet,
    npy_stacks,
    nrrd_pairs,
    promise12,
)
from medseg.cases.listing import LINKED_FOLDER, Listing, look, natural_key
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import Labels
from medseg.volumes import is_volume
from medseg.volumes.member import member_of

# A layout is a module with `LOOKS_LIKE`, `matches(listing)` and `find(listing)`; where the data set says or is known to
# say what its label values mean, also `labels(listing)` or `LABELS`; where it reads tables, `tables(listing)`. A plain
# one says in `image_sets(listing)` which labelled images it would read, so that none are dropped without a word.
NAMED: tuple[ModuleType, ...] = (
    bids, chest_xray_masks, chest_xray_pneumonia, drive, finding_lungs, isic2018, lits, liver_folders, montgomery, msd,
    nih_chest_xray, nnunet, npy_stacks, nrrd_pairs, promise12,
)  # fmt: skip
PLAIN: tuple[ModuleType, ...] = (csv_pairs, flat)  # where no layout with a name of its own is found, the first of these
NOT_IN_NAMES = ("/", "\\", "\0", "\n", "\r")
SHOWN = 20  # faults of one kind, where more would say the same
SUBSETS = ("labelled", "validate", "test", "images")


@dataclass(frozen=True)
class DataSet:
    """What a data folder holds.

    Attributes:
        layout: the name of the layout that was recognised.
        cases: all of them, in natural order of their ids; ``meta["subset"]`` says what the data set itself keeps apart
            (``validate``, ``test``).
        labels: what the label values mean; None where that is not known.
        ignored: files and folders (relative to the data folder) that belong to no case, and why.
    """

    layout: str
    cases: list[Case]
    labels: Labels | None = None
    ignored: dict[Path, str] = field(default_factory=dict)

    def subset(self, name: str) -> list[Case]:
        """Some of the cases, in their order.

        Args:
            name: ``labelled`` (what is trained on), ``validate`` or ``test`` (kept apart by the data set itself, with
                labels; often none) or ``images`` (what a trained model is applied to: the data set's own test images
                where it has some, else every image; always without labels).

        Raises:
            UsageError: E903, another name.
            DataError: E101, no case is labelled.
        """
        if name not in SUBSETS:
            raise UsageError(Fault("E903", "no such subset", "choose one of those", ", ".join(SUBSETS), name))
        if name == "images":
            shown = [case for case in self.cases if case.meta.get("subset") == "test"] or self.cases
            return [dataclasses.replace(case, label=None) for case in shown]
        apart = None if name == "labelled" else name
        found = [case for case in self.cases
                 if case.meta.get("subset") == apart and (case.label is not None or case.negative)]  # fmt: skip
        if name == "labelled" and not found:
            fix = "add the labels; without them a trained model can only be applied"
            count = f"{len(self.cases)} images, none of them with a label to train on"
            raise DataError(Fault("E101", "an image has no label", fix, "labels", count, self.cases[0].images[0]))
        return found


def find_cases(folder: str | Path | None, subset: str = "labelled", layout: str | None = None) -> list[Case]:
    """Some of the cases of a data folder, in natural order of their ids: `read_data_set` and `DataSet.subset`."""
    return read_data_set(folder, layout).subset(subset)


def read_data_set(folder: str | Path | None, layout: str | None = None) -> DataSet:
    """Everything that a data folder holds. Names are read, and tables and descriptions, but no images.

    Args:
        folder: a data set as downloaded, or a folder of images.
        layout: the name of a layout, where the folder fits several.

    Raises:
        DataError: E101 the folder does not exist; E609 it fits no layout, or several; E501 two cases of one id, or an
            id that cannot be a file's name; what the layout itself refuses.
    """
    root = checked_folder(folder)
    listing = look(root)
    module = _recognised(listing) if layout is None else _named(layout, listing)
    cases = sorted(module.find(listing), key=lambda case: natural_key(case.id))
    if not cases:
        raise _no_layout(listing, "no images were found in the data folder")
    _refuse_ids(cases)
    ignored = _ignored(module, listing, cases)
    in_order = dict(sorted(ignored.items(), key=lambda item: natural_key(str(item[0]))))
    return DataSet(_name(module), cases, _labels(module, listing), in_order)


def _recognised(listing: Listing) -> ModuleType:
    found = [layout for layout in NAMED if layout.matches(listing)]
    found = found or [layout for layout in PLAIN if layout.matches(listing)][:1]
    if not found:
        raise _no_layout(listing, "no data set of a known layout was found in the data folder")
    if len(found) == 1 and found[0] in NAMED:
        found += _left_alone(found[0], listing)
    if len(found) > 1:
        what, names = "the data folder fits several layouts", ", ".join(map(_name, found))
        fix = f"point dataset_dir at one data set, or say which: layout={_name(found[0])}; they are:{_lines(found)}"
        raise DataError(Fault("E609", what, fix, "one data set", names, listing.root))
    return found[0]


def _left_alone(named: ModuleType, listing: Listing) -> list[ModuleType]:
    """The plain layouts with labelled images of which the named one uses none: those of a second data set."""
    sets = {layout: layout.image_sets(listing) for layout in PLAIN if layout.matches(listing)}
    used = _used(named.find(listing)) if any(sets.values()) else set()
    return [layout for layout, found in sets.items()
            if any(images and used.isdisjoint(map(str, images)) for images in found)]  # fmt: skip


def _named(layout: str, listing: Listing) -> ModuleType:
    by_name = {_name(module): module for module in (*NAMED, *PLAIN)}
    if layout not in by_name:
        what, fix = "no such layout", "choose one of those"
        raise UsageError(Fault("E903", what, fix, ", ".join(sorted(by_name)), layout))
    if not by_name[layout].matches(listing):
        what, fix = f"the data folder is not laid out as {layout}", "choose another layout, or leave that to medseg"
        expected, found = by_name[layout].LOOKS_LIKE, _contents(listing.root)
        raise DataError(Fault("E609", what, fix, expected, found, listing.root))
    return by_name[layout]


def _name(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[-1]


def _lines(layouts: Iterable[ModuleType]) -> str:
    return "".join(f"\n  {_name(layout)}: {layout.LOOKS_LIKE}" for layout in layouts)


def _labels(module: ModuleType, listing: Listing) -> Labels | None:
    if hasattr(module, "labels"):
        return module.labels(listing)
    return Labels(module.LABELS) if hasattr(module, "LABELS") else None


def _no_layout(listing: Listing, what: str) -> DataError:
    packed = [str(path) for path in listing.archives()]
    linked = [str(path) for path, reason in listing.ignored.items() if reason == LINKED_FOLDER]
    fix = "point dataset_dir at the folder that holds the images"
    fix += f"; unpack {', '.join(packed[:3])}" if packed else ""
    fix += f"; replace links to folders by the folders: {', '.join(linked[:3])}" if linked else ""
    fix += f"; looked for were:{_lines((*NAMED, *PLAIN))}"
    return DataError(Fault("E609", what, fix, found=_contents(listing.root), file=listing.root))


def _used(cases: list[Case]) -> set[str]:
    return {str(member_of(path)[0]) for case in cases for path in (*case.images, *case.labels)}


def _ignored(module: ModuleType, listing: Listing, cases: list[Case]) -> dict[Path, str]:
    """What was not listed or left alone, volumes of no case, tables of no use, and archives that were not unpacked."""
    used = _used(cases)
    used |= {value for case in cases for value in case.meta.values() if isinstance(value, str)}
    found = {
        folder / name: "belongs to no case"
        for folder, names in listing.folders.items()
        for prefix in [str(listing.root / folder)]
        for name in names
        if is_volume(name) and os.path.join(prefix, name) not in used
    }
    own = module.tables(listing) if hasattr(module, "tables") else []
    tables = (path.relative_to(listing.root) for path in listing.files(r".*\.csv") if path not in own)
    found |= dict.fromkeys(tables, f"a table that {_name(module)} does not read")
    archives = dict.fromkeys(listing.archives(), "an archive that was not unpacked")
    linked = [path for path, reason in listing.ignored.items() if reason == LINKED_FOLDER]
    reached = {path for path in linked if any(each.startswith(f"{listing.root / path}{os.sep}") for each in used)}
    return found | archives | {path: reason for path, reason in listing.ignored.items() if path not in reached}


def checked_folder(folder: str | Path | None) -> Path:
    """The folder as a path; DataError when it is not given or does not exist."""
    if folder is None or str(folder).strip() in ("", "None"):
        fix = "pass the data folder: --data <folder> (of python -m monai.bundle run: --dataset_dir <folder>)"
        raise DataError(Fault("E101", "dataset_dir is not set", fix))
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        fix = "check the path given as dataset_dir"
        raise DataError(Fault("E101", "the data folder does not exist", fix, "a folder", found, root))
    return root


def _refuse_ids(cases: list[Case]) -> None:
    """Predictions are named after the ids: each is a file's name, and no two are equal. `cases` are in their order."""
    bad = [case for case in cases if not case.id.strip(".") or any(mark in case.id for mark in NOT_IN_NAMES)]
    if bad:
        what, fix = "a case's id cannot be the name of a file", "choose another, without slashes"
        raise DataError(*_first([Fault("E501", what, fix, found=repr(each.id), file=each.images[0]) for each in bad]))
    fix = "rename one of the two, or list it once"
    faults = [
        Fault("E501", "two cases have one id", fix, found=f"{case.images[0]}", file=other.images[0], case=case.id)
        for case, other in itertools.pairwise(cases)
        if case.id == other.id
    ]
    if faults:
        raise DataError(*_first(faults))


def _first(faults: list[Fault]) -> list[Fault]:
    """The first `SHOWN` faults of one kind, and one that counts the others."""
    others = len(faults) - SHOWN
    if others <= 0:
        return faults
    first = faults[0]
    return [*faults[:SHOWN], Fault(first.code, f"{first.what}: {others} more", first.fix)]


def _contents(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return shown or "an empty folder"
