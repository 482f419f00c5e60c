"""Which prediction belongs to which reference: two files, two folders, or a data set and a folder of predictions."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from medseg.cases.faults import SHOWN, refuse
from medseg.cases.layouts import NAMED, DataSet, csv_pairs, flat, read_data_set
from medseg.cases.listing import Listing, look
from medseg.errors import DataError, Fault
from medseg.labels import Labels
from medseg.volumes import is_volume, read_geometry, stem
from medseg.volumes.label_map import grid_faults
from medseg.volumes.member import member_of

DICOM, ARRAYS = ".dcm", ".npz"
OF_A_RUN = "predictions"  # where a run folder keeps its masks
PREVIEWS = "previews"  # where inference puts a picture of each mask, below the masks
# what programs append to a case's name: a label's ending, nnU-Net's and the Decathlon's channel, MONAI's postfix
ENDING = re.compile(r"_(seg|segmentation|mask|label|labels|pred|prediction|trans|0000)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference.

    Attributes:
        case, group: the case's id, and the patient it is of.
        prediction: its files, joined where they are several.
        reference: its files; none for a case that is known to hold nothing but background.
        subset: what the references' data set keeps it for (``validate``, ``test``), or nothing.
        columns: what else is known of the case.
        ignore_value: the label value that the data set wants to be left out of account.
        probabilities: foreground label to its map.
    """

    case: str
    group: str
    prediction: tuple[Path, ...]
    reference: tuple[Path, ...]
    subset: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore_value: int | None = None
    probabilities: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """What is to be scored.

    Attributes:
        pairs: in natural order of their ids, of one case each.
        left_out: ids of references that have no prediction.
        labels: what the references' data set says the values mean; None where it does not.
        notes: how they were found, for the reader.
    """

    pairs: list[Pair]
    left_out: list[str]
    labels: Labels | None
    notes: list[str]


@dataclass(frozen=True)
class _Map:
    """A label map and all that it may be called, its best name first."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    group: str = ""
    subset: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore_value: int | None = None


@dataclass(frozen=True)
class _Side:
    """The label maps of one side, and what kind of place they lie in."""

    maps: list[_Map]
    kind: str
    labels: Labels | None = None


def find_pairs(
    predictions: str | Path, references: str | Path, layout: str | None = None, only_predicted: bool = False
) -> Pairs:
    """Match predictions with references by name. No voxels are read.

    Either side is a file, a data set in a layout that medseg knows (its labels count), or a folder of label maps,
    which may lie in folders of their own: ``<case>.nii.gz``, ``<case>/mask.nii.gz``. A prediction is named after the
    case's id, or the file of its label or its image; an ending as ``_seg``, ``_pred`` or ``_0000`` does no harm where
    no other case has the name without it. Two files are a pair whatever their names.

    Args:
        predictions, references: the two sides; of a run's folder its ``predictions/``.
        layout: the references' layout, where they fit several.
        only_predicted: whether references without a prediction are left out.

    Raises:
        DataError: E101, nothing there; E501, two maps for one case; E506, predictions without a reference or, without
            `only_predicted`, references without a prediction; what a layout refuses.
    """
    predicted = _read(_of_run(Path(predictions)))
    drawn = _read(Path(references), layout)
    ids = _ids(drawn.maps)
    if predicted.kind == drawn.kind == "a file":
        chosen = {ids[0]: predicted.maps[0]}
    else:
        chosen = _matched(predicted, _aliases(ids, drawn.maps), Path(predictions), Path(references))
    left_out = [name for name in ids if name not in chosen]
    if left_out and not only_predicted:
        fix = "add them, or score what is predicted: --only-predicted"
        raise DataError(_unmatched(f"{len(left_out)} of {len(ids)} references have no prediction", fix, left_out,
                                   Path(predictions)))  # fmt: skip
    pairs = [
        Pair(name, each.group or name, chosen[name].paths, each.paths, each.subset, each.columns, each.ignore_value)
        for name, each in zip(ids, drawn.maps, strict=True)
        if name in chosen
    ]
    notes = [f"{len(pairs)} cases: predictions from {predictions} ({predicted.kind}), references from {references}"
             f" ({drawn.kind})"]  # fmt: skip
    if left_out:
        notes.append(f"{len(left_out)} of {len(ids)} references have no prediction and are left out")
    return Pairs(pairs, left_out, drawn.labels, notes + _same(pairs))


def refuse_other_grids(pairs: Sequence[Pair]) -> None:
    """Compare the grids of all pairs, from their headers alone.

    Raises:
        DataError: the first 20 headers that cannot be read (as `medseg.volumes.read_geometry`) or grids that differ
            (E201, E202, E203), and how many more there are.
    """
    faults: list[Fault] = []
    for pair in tqdm(pairs, "headers", unit="case", disable=None, leave=False):
        files = (*pair.reference[:1], *pair.prediction[:1], *pair.probabilities.values())
        try:
            grids = [read_geometry(path) for path in files]
        except DataError as error:
            faults += [dataclasses.replace(fault, case=pair.case) for fault in error.faults]
            continue
        for path, grid in zip(files[1:], grids[1:], strict=True):
            what = "the map of probabilities" if path in pair.probabilities.values() else "the prediction"
            faults += grid_faults(path, what, grid, grids[0], pair.case, "its reference")
    refuse(faults)


def _of_run(folder: Path) -> Path:
    """The folder of masks in a run's folder; any other as it is."""
    inside = folder / OF_A_RUN
    return inside if inside.is_dir() and (folder / "cases.csv").is_file() else folder


def _read(path: Path, layout: str | None = None) -> _Side:
    if member_of(path)[0].is_file() and layout is None:
        return _Side([_Map((_name(path),), (path,))], "a file")
    if not path.is_dir():
        what, found = ("not a folder", "a file") if path.exists() else ("no such file or folder", "nothing")
        raise DataError(Fault("E101", what, "check the path", "label maps", found, path))
    listing = _masks_alone(look(path))
    if layout is not None or _is_data_set(listing):
        return _labelled(read_data_set(path, layout), path)
    maps = _plain(listing)
    if not maps:
        known = "label maps (NIfTI, PNG, …), or a data set in a layout that medseg knows"
        names = ", ".join(sorted(os.listdir(path))[:5]) or "an empty folder"
        raise DataError(Fault("E101", "no label maps in this folder", "check the path", known, names, path))
    return _Side(maps, "a folder of label maps")


def _masks_alone(listing: Listing) -> Listing:
    """What stands beside masks under the same names is no label map: nnU-Net's probabilities, and our own previews."""
    folders = {}
    for folder, names in listing.folders.items():
        if folder.name == PREVIEWS and any(map(is_volume, listing.folders.get(folder.parent, ()))):
            continue
        masks = {stem(name) for name in names if is_volume(name) and not name.endswith(ARRAYS)}
        folders[folder] = tuple(name for name in names if not name.endswith(ARRAYS) or stem(name) not in masks)
    return dataclasses.replace(listing, folders=folders)


def _is_data_set(listing: Listing) -> bool:
    """Whether there are cases, and not label maps alone, which some layouts take for images or for half a data set."""
    named = any(layout.matches(listing) and layout.find(listing) for layout in NAMED)
    if named or csv_pairs.matches(listing):
        return True
    return flat.matches(listing) and any(case.labels for case in flat.find(listing))


def _labelled(data_set: DataSet, root: Path) -> _Side:
    maps = [
        _Map((case.id, *map(_name, (*case.labels, *case.images))), case.labels, case.group,
             str(case.meta.get("subset", "")), case.columns, case.meta.get("ignore_value"))
        for case in data_set.cases
        if case.labels or case.negative
    ]  # fmt: skip
    if not maps:
        fix = "point at a folder with label maps"
        found = f"{len(data_set.cases)} cases, none of them with a label"
        raise DataError(Fault("E101", "the data set has no labels", fix, "labels", found, root))
    return _Side(maps, f"a data set, {data_set.layout}", data_set.labels)


def _plain(listing: Listing) -> list[_Map]:
    """Every volume of a folder, and every folder of a DICOM series, by its own name and those of its folders."""
    found = []
    for folder, names in listing.folders.items():
        volumes = [Path(name) for name in names if is_volume(name)]
        is_series = not volumes and any(name.lower().endswith(DICOM) for name in names)
        for place in [folder / name for name in volumes] or ([folder] if is_series else []):
            path = listing.root / place
            above = [_composed(part) for part in reversed(place.parent.parts)]
            found.append(_Map((_name(path), *above), (path,)))
    return found


def _name(path: Path) -> str:
    return _composed(stem(member_of(path)[0].resolve() if path.is_dir() else member_of(path)[0]))


def _composed(name: str) -> str:
    """In Unicode's composed form, whichever form the file system keeps: macOS parts ``ä`` in two."""
    return unicodedata.normalize("NFC", name)


def _ids(maps: Sequence[_Map]) -> list[str]:
    """A name for each reference: its own, or where these are not one each, that of its folder.

    Raises:
        DataError: E501, neither tells all of them apart.
    """
    for place in (0, 1):
        names = [each.names[place] for each in maps if len(each.names) > place]
        if len(set(names)) == len(maps):
            return names
    names = [each.names[0] for each in maps]
    twice = [each for each in maps if names.count(each.names[0]) > 1]
    fix = "keep one, or point at the folder that holds one for each case"
    found = ", ".join(str(path) for each in twice[:SHOWN] for path in each.paths)
    raise DataError(Fault("E501", "several references of one name", fix, found=found, case=twice[0].names[0]))


def _bare(name: str) -> str:
    return ENDING.sub("", name)


def _aliases(ids: Sequence[str], maps: Sequence[_Map]) -> dict[str, str]:
    """Every name that means one case alone, to its id: ids first, then whole names, then names without an ending."""
    aliases = {name: name for name in ids}
    for form in (str, _bare):
        meant: dict[str, set[str]] = {}
        for identity, each in zip(ids, maps, strict=True):
            for name in (identity, *each.names):
                meant.setdefault(form(name), set()).add(identity)
        aliases |= {name: next(iter(of)) for name, of in meant.items() if len(of) == 1 and name not in aliases}
    return aliases


def _matched(side: _Side, aliases: Mapping[str, str], predictions: Path, references: Path) -> dict[str, _Map]:
    """The id of each case that is predicted to its prediction."""
    chosen: dict[str, list[_Map]] = {}
    unknown = []
    for each in side.maps:
        names = (*each.names, *map(_bare, each.names))
        name = next((aliases[name] for name in names if name in aliases), None)
        if name is None:
            unknown.append(each.names[0])
        else:
            chosen.setdefault(name, []).append(each)
    faults = [
        Fault("E501", "several predictions of one case", "keep one, or join them into one label map",
              found=", ".join(str(path) for each in several for path in each.paths), case=name)
        for name, several in chosen.items()
        if len(several) > 1
    ]  # fmt: skip
    if unknown:
        fix = f"name them after the cases ({', '.join(list(aliases)[:3])}, …), or take them away"
        what = f"{len(unknown)} of {len(side.maps)} predictions have no reference"
        faults.append(_unmatched(what, fix, unknown, references))
    refuse(faults)
    return {name: several[0] for name, several in chosen.items()}


def _unmatched(what: str, fix: str, names: Sequence[str], where: Path) -> Fault:
    found = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return Fault("E506", what, fix, found=found, file=where)


def _same(pairs: Sequence[Pair]) -> list[str]:
    """A word where references were given as predictions."""
    files = [(*pair.prediction[:1], *pair.reference[:1]) for pair in pairs]
    n = sum(len(both) == 2 and os.path.realpath(both[0]) == os.path.realpath(both[1]) for both in files)
    return [f"{n} of {len(pairs)} predictions are the reference's own file: their scores say nothing"] if n else []
