"""What stands beside methods that are compared: baselines and a second observer, scored on the same cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from medseg.metrics.baselines import ALL_BACKGROUND, CONSTANT, MEAN_SHAPE
from medseg.metrics.reported import constant_soft_dice
from medseg.metrics.summary import mean, number
from medseg.reports.comparison.published import PublishedRow
from medseg.reports.comparison.results import MEAN, Comparison

BASELINE = "baseline"
OVERLAPS = ("dice", "iou")  # what `medseg.metrics.baselines` gives
SOFT = "soft_dice_with_background"  # of a constant known without its image: its IoU is the label's share of it
KNOWN = {
    ALL_BACKGROUND: "nothing is predicted",
    CONSTANT: "the whole image is the label",
    MEAN_SHAPE: "where more than half of the other patients have the label",
}
OBSERVED = "what this observer drew, scored as a prediction"


def scored_baselines(found: Comparison) -> list[PublishedRow]:
    """The baselines that the first method's evaluation wrote, as rows to stand beside the methods.

    A score is worth what it adds to what needs no image, and where a second observer drew the same cases, no method can
    be shown to be better than people agree. Means are over the cases that are compared.
    """
    method = found.data.methods[0]
    runs = method.runs if method.n_folds > 1 else method.runs[:1]
    wanted = {(case, label) for case in found.data.cases for label in found.data.labels}
    rows = [row for run in runs for row in run.baselines if (row["case"], row["label"]) in wanted]
    metrics = (*OVERLAPS, *([SOFT] if SOFT in found.metrics else []))
    several = len(found.data.labels) > 1
    entries = []
    for name in dict.fromkeys(row["baseline"] for row in rows):
        own = [row for row in rows if row["baseline"] == name]
        by_label = {
            label: _scores([row for row in own if row["label"] == label], metrics) for label in found.data.labels
        }
        scores = ({MEAN: _scores(own, metrics)} if several else {}) | by_label
        scores = {label: values for label, values in scores.items() if values}
        if scores:
            n = len({row["case"] for row in own if number(row["dice"]) is not None})
            source = KNOWN.get(name, OBSERVED)
            entries.append(PublishedRow(name, source, "the same cases", scores, n, mark=BASELINE))
    return entries


def _scores(rows: Iterable[Mapping[str, str]], metrics: Sequence[str]) -> dict[str, float]:
    """The mean over cases of each case's mean over its labels."""
    by_case: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_case.setdefault(row["case"], []).append(row)
    found = {}
    for metric in metrics:
        known = [[v for row in own if (v := _value(row, metric)) is not None] for own in by_case.values()]
        centre = mean([each for values in known if values and (each := mean(values)) is not None])
        if centre is not None:
            found[metric] = centre
    return found


def _value(row: Mapping[str, str], metric: str) -> float | None:
    if metric != SOFT:
        return number(row.get(metric))
    share = number(row.get("iou")) if row["baseline"] == CONSTANT else None
    return constant_soft_dice(share) if share else None
