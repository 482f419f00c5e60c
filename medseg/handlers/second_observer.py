"""What a second observer scores against the first: the row to hold a method's scores against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medseg.cases.lists import SECOND_OBSERVER
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.labels import Labels, unknown_values
from medseg.metrics.case_pair import LabelMap, Mask
from medseg.metrics.scores import score_case
from medseg.volumes.label_map import grid_faults, read_label

NAME = "second observer"
SCORED = ("dice", "iou")  # as of all baselines


def second_observer_rows(
    item: Mapping[str, Any], reference: LabelMap, geometry: Geometry, labels: Labels, inside: Mask | None = None
) -> list[dict[str, Any]]:
    """Rows of ``baselines.csv`` for one case, a row a label; none where no second observer drew it.

    Args:
        item: of a case list, with the file of the second observer's label where there is one.
        reference: the first observer's label map, of shape `geometry.shape`.
        geometry: its grid.
        labels: what the values mean, in both.
        inside: which voxels count, of the same shape; all if None.

    Raises:
        DataError: what `read_label` refuses; E201 or E202, it lies on another grid; E301, values that no label names.
    """
    if not item.get(SECOND_OBSERVER):
        return []
    case, path = str(item["case"]), item[SECOND_OBSERVER]
    drawn = read_label(path, labels)
    faults = grid_faults(path, "the second observer's label", drawn.geometry, geometry, case, "the first one's")
    faults += unknown_values(drawn.array, labels, path, case)
    if faults:
        raise DataError(*faults)
    rows = score_case(drawn.array, reference, geometry, labels, SCORED, inside=inside)
    first = {"case": item["case"], "group": item["group"], "baseline": NAME}
    return [first | {name: row[name] for name in ("label", *SCORED)} for row in rows]
