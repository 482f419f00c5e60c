"""What each figure of a run shows, in words, and in which section of its page it stands."""

from __future__ import annotations

from collections.abc import Iterable

from medseg.metrics.catalogue import METRICS

LOSS, VALIDATION = "loss.png", "validation_dice.png"
CONFUSION, ROC, PRECISION_RECALL, CALIBRATION = "confusion.png", "roc.png", "precision_recall.png", "calibration.png"
WORST, BEST = "worst_cases.png", "best_cases.png"
SLICES = {rank: f"slices_{rank}.png" for rank in ("worst", "median", "best")}
BY_LABEL = "_by_label"  # in the names of figures of scores
VALIDATION_OF = "validation_"  # in front of the family of metrics, in the names of figures of training
VALIDATION_ERROR = f"{VALIDATION_OF}error.png"
SECTIONS = ("scores", "training", "cases")

_OTHERS = {
    CONFUSION: ("scores", "Which label the voxels of each label were given, all cases together"),
    ROC: ("scores", "ROC curves: sensitivity over false positive rate at every threshold, all cases together"),
    PRECISION_RECALL: ("scores", "Precision over recall at every threshold, all cases together"),
    CALIBRATION: ("scores", "Calibration: how often the label is there, over the probability given for it"),
    LOSS: ("training", "Losses and learning rate over iterations and epochs"),
    VALIDATION: ("training", "Dice of held-out cases and of training's own patches over epochs"),
    VALIDATION_ERROR: ("training", "Validation error of rebuilt images over epochs, beside that of a constant image"),
    f"{VALIDATION_OF}overlaps.png": ("training", "Further validation scores from 0 to 1 over epochs"),
    f"{VALIDATION_OF}distances.png": ("training", "Validation distances over epochs"),
    f"{VALIDATION_OF}others.png": ("training", "Volumes, counts and other validation scores over epochs"),
    WORST: ("cases", "The worst cases: image, reference and prediction in the slice with most reference"),
    BEST: ("cases", "The best cases: image, reference and prediction in the slice with most reference"),
    **{
        name: ("cases", f"Slices evenly spaced through the {rank} case: the reference filled, the prediction outlined")
        for rank, name in SLICES.items()
    },
}


def captions(section: str, names: Iterable[str]) -> dict[str, str]:
    """The figures of a section among file names, in the order in which the page shows them, each with what it shows.

    A file of no figure of a run is left out.

    Args:
        section: ``scores``, ``training`` or ``cases``.
        names: of files, as ``figures/`` holds them.

    Raises:
        ValueError: there is no such section.
    """
    if section not in SECTIONS:
        raise ValueError(f"sections are {', '.join(SECTIONS)}; found {section}")
    known = {name: found for name in names if (found := _described(name)) and found[0] == section}
    order = list(_OTHERS)
    placed = sorted(known, key=lambda name: order.index(name) if name in order else -1)
    return {name: known[name][1] for name in placed}


def _described(name: str) -> tuple[str, str] | None:
    """Its section and its words."""
    if name in _OTHERS:
        return _OTHERS[name]
    metric, by_label, _ = name.removesuffix(".png").partition(BY_LABEL)
    if by_label and metric in METRICS:
        return "scores", f"{METRICS[metric].title} of every case, by label"
    return None
