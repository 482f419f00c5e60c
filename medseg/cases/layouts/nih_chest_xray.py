"""NIH chest X-rays: ``sample_labels.csv`` or ``Data_Entry_2017*.csv``, and PNG images wherever they lie below it.

Labels of whole images, no masks: findings are joined by ``|``, and ``No Finding`` stands for none. A patient, who has
several images, is the group. Wang et al. 2017 (doi:10.1109/CVPR.2017.369).
"""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts import table
from medseg.cases.layouts.pairs import by_stem
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault
from medseg.volumes import stem

LOOKS_LIKE = "sample_labels.csv or Data_Entry_2017.csv beside PNG images (NIH chest X-rays)"
TABLES = r"sample_labels\.csv|data_entry_2017.*\.csv"
IMAGE, FINDINGS, PATIENT = "Image Index", "Finding Labels", "Patient ID"
HEALTHY = "No Finding"


def matches(listing: Listing) -> bool:
    """Whether there is the table."""
    return bool(tables(listing))


def tables(listing: Listing) -> list[Path]:
    """The tables of findings."""
    return listing.files(TABLES)


def find(listing: Listing) -> list[Case]:
    """A case for each row whose image is there: ``image_labels`` holds every finding of the table, as 0 or 1.

    Raises:
        DataError: E501 several tables, or two images of one name; E104 a table without the columns, or a row without
            their values.
    """
    found = tables(listing)
    if len(found) > 1:
        names, fix = ", ".join(str(path) for path in found), "keep the one whose images are here"
        raise DataError(Fault("E501", "several tables of findings", fix, "1", names, listing.root))
    rows = _rows(found[0])
    findings = sorted({name for row in rows for name in row[FINDINGS].split("|")} - {HEALTHY})
    images = by_stem(listing.files(r".*\.png"))
    there = [row for row in rows if stem(row[IMAGE]) in images]
    gone = (Path(row[IMAGE]) for row in rows if stem(row[IMAGE]) not in images)
    listing.ignored.update((name, f"in {found[0].name}, but not here") for name in gone)
    return [
        Case(
            stem(row[IMAGE]),
            (images[stem(row[IMAGE])],),
            group=f"patient_{row[PATIENT]}",
            image_labels={name: int(name in row[FINDINGS].split("|")) for name in findings},
            meta={"modality": "X-ray"},
        )
        for row in there
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    rows = table.rows(path)
    for number, row in enumerate(rows or [{}], start=2):
        missing = [name for name in (IMAGE, FINDINGS, PATIENT) if not row.get(name)]
        if missing:
            what, fix = f"row {number} lacks values", "download the table again"
            raise DataError(Fault("E104", what, fix, ", ".join(missing), ", ".join(row.values()), path))
    return rows
