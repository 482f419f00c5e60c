"""The lists that a bundle's data sets take: dictionaries with the keys that transforms read."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg import files
from medseg.cases.case import Case
from medseg.cases.check import CheckedCase
from medseg.cases.check_all import refuse_faulty, unlabelled
from medseg.cases.folds import hold_out, joined_copies, share, strata_of
from medseg.cases.layouts import read_data_set
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import Labels
from medseg.settings import switch
from medseg.volumes import MASKS, digest
from medseg.volumes.member import member_of

logger = logging.getLogger(__name__)

Item = dict[str, Any]
FIELD_OF_VIEW, SECOND_OBSERVER = "field_of_view", "second_observer"  # keys of items, and of `Case.meta`


def split_cases(
    dataset_dir: str | None,
    labels: Mapping[str, int | Sequence[int]],
    held_out: float = 0.2,
    seed: int = 0,
    fold: int = 0,
    drop_empty: bool = False,
    layout: str | None = None,
    fields: bool = False,
    tested: float = 0,
) -> dict[str, list[Item]]:
    """Training, validation and test cases of a data folder, checked.

    Args:
        dataset_dir: a data set in a known layout.
        labels: what the label values mean (see `medseg.labels.Labels`).
        held_out: the fraction of labelled cases that validation keeps (or a whole number: how many), by group (W504
            where slices of a stack have none), stratified by which labels occur and how much is labelled, drawn from
            `seed`; 0 keeps none, and what is trained is scored by nothing (W503). A data set with validation cases of
            its own keeps those instead.
        fold: which such fraction: 0, 1, … (of a fifth there are 5).
        drop_empty: whether cases whose label is empty are left out of training and validation.
        layout: the layout's name, where the folder fits several.
        fields: whether it matters where the images have their field of view; a warning (W107) then says how many come
            without a mask of it.
        tested: the fraction of labelled cases (or how many) that become test cases before any are held out, the same
            for every `fold`; for data sets that have no test cases of their own.

    Returns:
        ``train``: items ``{image, label, case, group, modality}``, the last one "" where the data set does not say;
        and ``field_of_view``, a file, where the data set has one.
        ``validate`` and ``test``: with ``reference`` in the place of ``label``; a reference is scored on the grid it
        was drawn on, so no transform touches it. ``test`` holds what the data set itself keeps back with its truth; it
        is often empty. ``second_observer`` is the file of another observer's labels, where the data set has one.

    Raises:
        DataError: everything that is wrong with the folder or any of its cases, in one error.
    """
    data_set = read_data_set(dataset_dir, layout)
    data_set.subset("labelled")  # refused where there is none
    for fault in unlabelled(data_set.cases):
        logger.warning(fault)
    checked = joined_copies(refuse_faulty(data_set.cases, Labels(labels)))
    train, validate, test = _dealt(checked, held_out, seed, fold, drop_empty, tested)
    if validate:
        _tell_without_patients([*train, *validate])
    if switch("fields", fields):
        _tell_without_field([*train, *validate, *test])
    return {
        "train": [_item(case, "label") for case in train],
        "validate": [_item(case, "reference") for case in validate],
        "test": [_item(case, "reference") for case in test],
    }


def split_images(
    dataset_dir: str | None,
    labels: Mapping[str, int | Sequence[int]],
    held_out: float = 0.2,
    seed: int = 0,
    fold: int = 0,
    layout: str | None = None,
    tested: float = 0,
) -> dict[str, list[Item]]:
    """Images without their labels, for networks that rebuild images: all that `split_cases` does not hold out.

    The held-out cases are those of `split_cases` with the same arguments, so that a network that starts from what was
    trained here is scored on images it has not seen. To that end, labels that there are decide who is held out; none
    goes along. Images without a label, the data set's own test images among them, are trained on, but for those of a
    patient whose other image is held out. Where there is no label at all, the images themselves are dealt.

    Args:
        dataset_dir, labels, held_out, seed, fold, layout, tested: as for `split_cases`.

    Returns:
        ``train``, ``validate`` and ``test``: items ``{image, case, group, modality}``.

    Raises:
        DataError: everything that is wrong with the folder or any of its cases, in one error.
    """
    data_set = read_data_set(dataset_dir, layout)
    checked = joined_copies(refuse_faulty(data_set.cases, Labels(labels)))
    cases = [each.case for each in checked]
    if any(case.meta.get("subset") is None and (case.label is not None or case.negative) for case in cases):
        _, validate, test = _dealt(checked, held_out, seed, fold, False, tested)
    else:
        validate, test = _held_out(cases, held_out, seed, None, fold)[1], []
    held = {case.group for case in (*validate, *test)}
    sides = {"train": [case for case in cases if case.group not in held], "validate": validate, "test": test}
    without = sum(case.label is None for case in sides["train"])
    logger.info("%d images to train on, %d of them without a label", len(sides["train"]), without)
    return {name: [_item(case) for case in side] for name, side in sides.items()}


def evaluated_cases(cases: Mapping[str, Sequence[Item]], subset: str, checkpoint_file: str | Path) -> list[Item]:
    """The cases to score: ``validate`` or ``test`` of `split_cases`, none of which the weights were trained on.

    Raises:
        UsageError: E903, another subset, or an empty one.
        DataError: E502, a case that was trained on (`refuse_trained_on`).
    """
    if subset not in ("validate", "test") or not cases[subset]:
        found = "no cases in it" if subset in ("validate", "test") else repr(subset)
        fix = "subset=validate, or subset=test where the data set holds labelled test cases"
        raise UsageError(Fault("E903", "not a subset that can be scored", fix, "validate or test", found))
    refuse_trained_on(cases[subset], checkpoint_file)
    return list(cases[subset])


def refuse_trained_on(items: Iterable[Mapping[str, Any]], checkpoint_file: str | Path) -> None:
    """Nothing, if the weights of a checkpoint were trained on none of these cases.

    That is read in the ``split.json`` that lies beside the checkpoint's folder, in a run and in an exported bundle;
    where there is none, a warning says so.

    Raises:
        DataError: E502, a case that was trained on.
    """
    split = Path(checkpoint_file).absolute().parent.parent / "split.json"
    if not split.is_file():
        logger.warning("[W502] %s is not there: the cases may be ones that the weights were trained on", split)
    listed = files.read_json(split)["train"] if split.is_file() else []
    trained = {digest for item in listed for digest in item["digest"]["image"]}
    fix = "take the run's own split_seed, held_out and fold, or other data"
    faults = [
        Fault("E502", "the run was trained on this case", fix, file=path, case=item["case"])
        for item in items
        for path in ([item["image"]] if isinstance(item["image"], str) else item["image"])
        if digest(path) in trained
    ]
    if faults:
        raise DataError(*faults)


def list_images(
    dataset_dir: str | None,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    layout: str | None = None,
) -> list[Item]:
    """Items ``{image, case, group, modality}`` for every image of a folder, checked; labels are not looked for.

    Args:
        dataset_dir: a folder of images, or a data set.
        output_dir, overwrite: where a mask ``<case>.nii.gz`` or ``<case>.png`` will be written for each, and whether
            over what is there.
        layout: the layout's name, where the folder fits several.

    Raises:
        DataError: everything that is wrong with the folder or any image, in one error; E503, masks that are in the way.
    """
    found = read_data_set(dataset_dir, layout).subset("images")
    cases = [Case(id=case.id, images=case.images, group=case.group, meta=case.meta) for case in found]
    refuse_faulty(cases)
    if output_dir is not None and not overwrite:
        _refuse_occupied(Path(output_dir), cases)
    return [_item(case) for case in cases]


def _dealt(
    checked: Sequence[CheckedCase], held_out: float, seed: int, fold: int, drop_empty: bool, tested: float
) -> tuple[list[Case], list[Case], list[Case]]:
    """The labelled cases that are trained on, that validate and that test; see `split_cases`."""
    drop_empty = switch("drop_empty", drop_empty)
    kept = [each for each in checked if (each.voxels or each.case.negative) and not (drop_empty and each.is_empty)]
    sides = {name: [each for each in kept if each.case.meta.get("subset") == name] for name in (None, "validate")}
    test = [each.case for each in checked if each.voxels and each.case.meta.get("subset") == "test"]
    train, validate = [each.case for each in sides[None]], [each.case for each in sides["validate"]]
    strata = strata_of(sides[None])
    if tested:
        _refuse_tests_beside(test)
        train, test = hold_out(train, share("tested", tested, len(train)), seed, strata)
    if not validate:
        train, validate = _held_out(train, held_out, seed, strata, fold)
    return train, validate, test


def _held_out(
    cases: Sequence[Case], held_out: float, seed: int, strata: Mapping[str, Hashable] | None, fold: int
) -> tuple[list[Case], list[Case]]:
    """As `hold_out`; 0 holds out none."""
    if held_out == 0 and not isinstance(held_out, bool):
        logger.warning("[W503] held_out is 0: training takes all %d cases, and nothing scores its weights", len(cases))
        return list(cases), []
    return hold_out(cases, held_out, seed, strata, fold)


def _item(case: Case, label_key: str | None = None) -> Item:
    images = [str(path) for path in case.images]
    item: Item = {"image": images[0] if len(images) == 1 else images, "case": case.id, "group": case.group}
    item["modality"] = str(case.meta.get("modality", ""))
    known = (FIELD_OF_VIEW, SECOND_OBSERVER) if label_key == "reference" else (FIELD_OF_VIEW,)
    item |= {key: str(case.meta[key]) for key in known if key in case.meta}
    if label_key is not None:  # None stands for an all-background case, see `Case.negative`
        files_of_label = [str(path) for path in case.labels]
        item[label_key] = files_of_label if len(files_of_label) > 1 else next(iter(files_of_label), None)
    if label_key == "reference" and case.columns:
        item["strata"] = case.columns
    return item


def as_trained_on(item: Mapping[str, Any]) -> Item:
    """A held-out item under the keys of one to be trained on."""
    left_out = ("reference", "strata", SECOND_OBSERVER)
    label = {"label": item["reference"]} if "reference" in item else {}
    return {key: value for key, value in item.items() if key not in left_out} | label


def _refuse_tests_beside(test: list[Case]) -> None:
    if test:
        fix = "leave tested at 0: those are scored with subset=test"
        raise UsageError(Fault("E903", "the data set has test cases of its own", fix, "none", f"{len(test)} cases"))


def _tell_without_patients(cases: list[Case]) -> None:
    """Slices of one stack lie beside one another in a patient, and nothing says whose they are."""
    alone = [case for case in cases if case.group == case.id and _is_of_a_stack(case)]
    if len(alone) > 1:
        message = (
            "[W504] nothing says which of %d slices in a stack are of one patient: neighbours may be on both sides of "
            "the split, which flatters scores; a file a slice, and a table with a column group say it (csv_pairs)"
        )
        logger.warning(message, len(alone))


def _is_of_a_stack(case: Case) -> bool:
    file, member = member_of(case.images[0])
    return member is not None and file.suffix.lower() == ".npy"


def _tell_without_field(cases: list[Case]) -> None:
    without = [case.id for case in cases if FIELD_OF_VIEW not in case.meta]
    if without:
        names = ", ".join(without[:4]) + (", …" if len(without) > 4 else "")
        message = "[W107] %d of %d images have no mask of their field of view, which is found from the image alone: %s"
        logger.warning(message, len(without), len(cases), names)


def _refuse_occupied(output_dir: Path, cases: list[Case]) -> None:
    there = [path for case in cases for suffix in MASKS if (path := output_dir / f"{case.id}{suffix}").exists()]
    if there:
        fix = "choose another output_dir, or pass overwrite=true (--overwrite True)"
        found = ", ".join(path.name for path in there[:4]) + (", …" if len(there) > 4 else "")
        raise DataError(Fault("E503", "files of these names are there already", fix, "no masks", found, output_dir))
