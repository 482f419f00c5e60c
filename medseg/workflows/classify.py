"""A linear classifier on features, cross-validated: what an encoder has learnt, in three numbers."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg import files
from medseg.errors import DataError, Fault
from medseg.settings import with_extra

FOLDS, STEPS, SHOWN = 5, 10_000, 4
NEEDED = ("case", "label")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """What cross-validation says of each case by the classifier that had not seen it.

    Attributes:
        classes: their names, in order.
        truth: index of each case's class, (n,).
        shares: probability of each class, (n, classes).
        majority: index of the class that is most frequent among the cases that were trained on, (n,).
        folds, groups: how many there were.
    """

    classes: list[str]
    truth: npt.NDArray[np.integer]
    shares: npt.NDArray[np.floating]
    majority: npt.NDArray[np.integer]
    folds: int
    groups: int


def classify_features(features: Sequence[Row], labels: str | Path, seed: int = 0) -> list[str]:
    """Lines that say how well a linear classifier tells cases apart by their features, and what no skill would score.

    Args:
        features: rows of `medseg.workflows.features.write_features`.
        labels: a CSV with the columns ``case`` and ``label``, and perhaps ``group``, else that of the features: cases
            of one group (a patient) are on one side of each split. Cases without a row are left out.
        seed: of the split.

    Raises:
        DataError: E101, E104, no such file, or columns are missing; E501, a case has two rows; E506, rows of cases
            without features; E307, one class only, or a class in fewer than two groups.
        UsageError: E705, scikit-learn is not installed.
    """
    with_extra(str(labels), "sklearn", "classify")
    return _lines(cross_validate(*_joined(features, Path(labels)), seed))


def cross_validate(
    values: npt.NDArray[np.floating], names: Sequence[str], groups: Sequence[str], seed: int = 0
) -> Answers:
    """Logistic regression (L2, C = 1) on standardised features, of every fold by what the other folds hold.

    Folds are stratified by class and keep a group together; there are as many as the class in the fewest groups
    allows, at most 5. Means and deviations are of the cases trained on.

    Args:
        values: features, (n, F).
        names, groups: the class and the group of each.

    Raises:
        DataError: E307, one class only, or a class in fewer than two groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = sorted(set(names))
    truth = np.array([classes.index(name) for name in names])
    folds = min(FOLDS, _fewest(names, groups))
    shares, majority = np.zeros((len(names), len(classes))), np.zeros(len(names), dtype=int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*least populated class.*")
        splits = list(splitter.split(values, truth, groups))
    for trained, held in splits:
        majority[held] = np.bincount(truth[trained]).argmax()
        known = np.unique(truth[trained])
        if len(known) == 1:  # all others' groups fell into this fold
            shares[np.ix_(held, known)] = 1.0
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS)).fit(values[trained], truth[trained])
        shares[np.ix_(held, known)] = model.predict_proba(values[held])
    return Answers(classes, truth, shares, majority, folds, len(set(groups)))


def _joined(features: Sequence[Row], file: Path) -> tuple[npt.NDArray[np.floating], list[str], list[str]]:
    """Features, class and group of each case that the table names."""
    rows = _table(file)
    known = {str(row["case"]): row for row in features}
    counts = Counter(row["case"] for row in rows)
    problems = (
        ("E501", "rows have one case", "keep one row a case", [case for case, n in counts.items() if n > 1]),
        ("E506", "rows are of no case that has features", "correct the ids, or drop the rows",
         [case for case in counts if case not in known]),
    )  # fmt: skip
    faults = [Fault(code, f"{len(cases)} {what}", fix, found=", ".join(cases[:SHOWN]), file=file)
              for code, what, fix, cases in problems if cases]  # fmt: skip
    if faults:
        raise DataError(*faults)
    columns = [name for name in features[0] if name.startswith("feature_")]
    values = np.array([[float(known[row["case"]][name]) for name in columns] for row in rows])
    groups = [row.get("group") or str(known[row["case"]]["group"]) for row in rows]
    return values, [row["label"] for row in rows], groups


def _table(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise DataError(Fault("E101", "no such file", "check the path", "a CSV of cases and labels", file=file))
    with open(file, newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, restval="")
        columns = reader.fieldnames or []
        rows = [{name: files.unquoted(cell) for name, cell in row.items() if name} for row in reader]
    if not set(NEEDED) <= set(columns) or not rows:
        fix = "name its columns case, label and, where patients have several cases, group"
        raise DataError(Fault("E104", "not a table of labels", fix, ", ".join(NEEDED), ", ".join(columns), file))
    return rows


def _fewest(names: Sequence[str], groups: Sequence[str]) -> int:
    """In how many groups the class occurs that occurs in the fewest."""
    counts = Counter(name for name, _ in set(zip(names, groups, strict=True)))
    found = ", ".join(f"{name!r} in {n}" for name, n in sorted(counts.items()))
    if len(counts) < 2 or min(counts.values()) < 2:
        what = "there is one class only" if len(counts) < 2 else "a class occurs in one group alone"
        fix = "label cases of two or more classes, each in two or more groups"
        raise DataError(Fault("E307", what, fix, "two classes in two groups each", found))
    return min(counts.values())


def _lines(answers: Answers) -> list[str]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    sizes = np.bincount(answers.truth)
    counts = ", ".join(f"{name} {size}" for name, size in zip(answers.classes, sizes, strict=True))
    head = f"{'':20s}{'accuracy':>10s}{'balanced':>10s}{'AUC':>10s}"
    rows = [("linear classifier", answers.shares.argmax(1), _auc(answers)), ("largest class", answers.majority, 0.5)]
    lines = [
        f"{name:20s}{accuracy_score(answers.truth, said):10.3f}{balanced_accuracy_score(answers.truth, said):10.3f}"
        f"{auc:10.3f}"
        for name, said, auc in rows
    ]
    n = f"n = {len(answers.truth)} ({counts}), {answers.groups} groups, {answers.folds} folds"
    return [head, *lines, n]


def _auc(answers: Answers) -> float:
    """The area under the ROC curve of all cases together; of more classes the mean of each against the others."""
    from sklearn.metrics import roc_auc_score

    areas = [roc_auc_score(answers.truth == place, answers.shares[:, place]) for place in range(len(answers.classes))]
    return float(np.mean(areas))
