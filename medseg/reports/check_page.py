"""The page of a data check: what was found, how often, with a picture of each finding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from tqdm import tqdm

from medseg import files
from medseg.cases.case import Case
from medseg.cases.check import CheckedCase
from medseg.cases.check_all import Check
from medseg.cases.summary import describe
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports import markup
from medseg.reports.theme import CSS
from medseg.volumes import Volume, read_volume
from medseg.volumes.label_map import read_label
from medseg.volumes.overlay import draw_case

PICTURES = 60  # findings that are shown with a picture; the others are in the table
EXAMPLES = 6  # cases that are shown whether or not anything is wrong
FEW = 12  # label values that get a colour each
COLUMNS = ("code", "case", "file", "what", "expected", "found", "fix")


def findings_by_kind(check: Check) -> list[str]:
    """A line a kind of finding, errors first, with how many there are and the first case."""
    lines = []
    for kind in _kinds(check.faults):
        first = kind[0]
        where = first.case or Path(first.file).name
        more = f" and {len(kind) - 1:,} more" if len(kind) > 1 else f" ({first.found})" if first.found else ""
        lines.append(f"{first.code}  {len(kind):6,}  {first.what}: {where}{more}")
    errors, warnings = len(check.errors), len(check.faults) - len(check.errors)
    count = f"{markup.count(len(check.cases), 'case')} read"
    return [*lines, f"{count}: {markup.count(errors, 'error')}, {markup.count(warnings, 'warning')}"]


def page_folder(out: str | Path, root: str | Path) -> Path:
    """The folder in `out` for the page of the data set in `root`.

    Raises:
        DataError: E503, it would lie in the data set, which is not changed.
    """
    folder, source = Path(out) / Path(root).resolve().name, Path(root).resolve()
    if source in (folder.resolve(), *folder.resolve().parents):
        fix = "say where it should go: --out <another folder>"
        raise DataError(Fault("E503", "the page would lie in the data set", fix, found=str(out), file=root))
    return folder


def write_check(check: Check, root: str | Path, folder: str | Path) -> Path:
    """Write ``findings.csv`` and ``check.html`` into a folder and return the page's path.

    Paths in both are relative to `root`, the folder that was checked.
    """
    rows = [_row(fault, Path(root)) for fault in check.faults]
    files.write_csv(Path(folder) / "findings.csv", rows, COLUMNS)
    body = "\n".join([_header(check, root), _table(check), *_details(check, Path(root)), *_gallery(check)])
    return files.write_text(Path(folder) / "check.html", markup.page(f"{Path(root).resolve().name}: check", CSS, body))


def _kinds(faults: Sequence[Fault]) -> list[list[Fault]]:
    kinds: dict[str, list[Fault]] = {}
    for fault in sorted(faults, key=lambda fault: (fault.is_warning, fault.code)):
        kinds.setdefault(fault.code, []).append(fault)
    return list(kinds.values())


def _row(fault: Fault, root: Path) -> dict[str, str]:
    return {"code": fault.code, "case": fault.case, "file": _relative(fault.file, root), "what": fault.what,
            "expected": fault.expected, "found": fault.found, "fix": fault.fix}  # fmt: skip


def _relative(file: str | Path, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _header(check: Check, root: str | Path) -> str:
    errors, warnings = len(check.errors), len(check.faults) - len(check.errors)
    labelled = any(case.labels or case.image_labels or case.negative for case in check.data_set.cases)
    verdict = "training takes this folder" if labelled else "nothing to train on: no labels"
    verdict = "training refuses this folder" if errors else verdict
    facts = [
        markup.fact("Errors", f"{errors:,}", markup.text(verdict), main=True),
        markup.fact("Warnings", f"{warnings:,}", "worth a look"),
        markup.fact("Cases read", f"{len(check.cases):,}", markup.text(check.data_set.layout)),
        markup.fact("Cases with findings", f"{len({f.case for f in check.faults if f.case}):,}", ""),
    ]
    name = markup.text(Path(root).resolve().name)
    return f'<header><h1>{name}</h1><p class="muted">Data check</p><dl class="facts">{"".join(facts)}</dl></header>'


def _table(check: Check) -> str:
    parts = ["<h2>What the folder holds</h2>", markup.pairs(describe(check.data_set, checked=check.cases))]
    kinds = _kinds(check.faults)
    if not kinds:
        return "\n".join([*parts, "<h2>Findings</h2>", "<p>Nothing is wrong.</p>"])
    rows = [markup.row(kind[0].code, [f"{len(kind):,}", kind[0].what, kind[0].fix]) for kind in kinds]
    return "\n".join([*parts, "<h2>Findings</h2>", markup.table(["", "n", "what", "what to do"], rows)])


def _details(check: Check, root: Path) -> list[str]:
    checked = {each.case.id: each for each in check.cases}
    parts, drawn = [], 0
    faults = [fault for kind in _kinds(check.faults) for fault in kind]
    for fault in tqdm(faults[:PICTURES], "pictures", disable=None, leave=False):
        parts.append(_detail(fault, checked.get(fault.case), check.labels, root))
        drawn += 1
    if len(faults) > drawn:
        parts.append(f'<p class="note">{len(faults) - drawn:,} more findings are in findings.csv.</p>')
    return parts


def _detail(fault: Fault, checked: CheckedCase | None, labels: Labels | None, root: Path) -> str:
    facts = [(name, value) for name, value in _row(fault, root).items() if value and name not in ("code", "what")]
    title = f"<h3>{markup.text(fault.code)}: {markup.text(fault.what)}</h3>"
    png = None if checked is None else _draw(checked.case, labels)
    shown = (
        markup.picture(png, f"{fault.case}: {fault.what}") if png else '<p class="note">No picture: not readable.</p>'
    )
    return f'{title}<div class="body"><div>{shown}</div><div>{markup.pairs(facts)}</div></div>'


def _gallery(check: Check) -> list[str]:
    """Some of the cases, spread over the data set."""
    step = max(1, len(check.cases) // EXAMPLES)
    drawn = {each.case.id: _draw(each.case, check.labels) for each in check.cases[::step][:EXAMPLES]}
    shown = [f"<figure>{markup.picture(png, name)}</figure>" for name, png in drawn.items() if png]
    return ["<h2>What it looks like</h2>", f'<div class="figures">{"".join(shown)}</div>'] if shown else []


def _draw(case: Case, labels: Labels | None) -> bytes | None:
    """The image, and the image with its label where the label lies in the patient."""
    try:
        image = read_volume(case.images[0])
    except DataError:
        return None
    label = _label(case, labels) if case.labels else None
    placed = None if label is None else _placed(label, image.geometry)
    return draw_case(image, {"label": placed}, _named(labels, placed), title=case.id)


def _label(case: Case, labels: Labels | None) -> Volume | None:
    """The label; of one whose values are refused, where they are not 0; None where it cannot be read."""
    with suppress(DataError):  # the findings say why, here and below
        return read_label(case.labels, labels)
    with suppress(DataError):
        stored = read_volume(case.labels[0], label=True)
        return Volume((np.nan_to_num(stored.array) != 0).astype(np.uint8), stored.geometry)
    return None


def _placed(label: Volume, grid: Geometry) -> npt.NDArray[np.integer]:
    """The label on the image's grid, nearest neighbour; background where the label does not reach."""
    if label.geometry.shape == grid.shape and label.geometry.is_same_grid(grid):
        return label.array
    index = grid.index_in(label.geometry)
    return ndimage.affine_transform(label.array, index[:3, :3], index[:3, 3], grid.shape, order=0)


def _named(labels: Labels | None, label_map: npt.NDArray[np.integer] | None) -> Labels:
    """The labels, and each further value that occurs by its number."""
    known = {"background": (0,)} if labels is None else dict(labels.values)
    taken = {value for values in known.values() for value in values}
    occurring = [] if label_map is None else [int(value) for value in np.unique(label_map) if int(value) not in taken]
    return Labels(known | {f"value {value}": (value,) for value in occurring[:FEW]})
