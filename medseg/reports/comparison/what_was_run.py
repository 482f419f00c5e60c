"""What the methods of a comparison were run with, side by side, and where that was not the same."""

from __future__ import annotations

import math

from medseg.metrics.summary import number
from medseg.reports import markup
from medseg.reports.comparison.method_runs import Method
from medseg.reports.comparison.results import Comparison
from medseg.reports.comparison.same_data import listed
from medseg.reports.comparison.settings import settings_of
from medseg.reports.run_folder import RunFolder, flatten
from medseg.reports.text_table import plain, shorten

# what methods and seeds may differ in without a word
THEIRS = ("network", "parameters", "seed", "started", "finished", "resumed", "wall time", "training time",
          "inference · cases", "inference · seconds a case")  # fmt: skip
HIDDEN = ("started", "finished", "resumed", "wall_seconds")
LONGEST = 40
TIME_TOLERANCE = 1.25  # how much longer one method may train than another where both were given the same minutes
NAMED = 4  # of the different values that runs of one method have


def facts(method: Method) -> dict[str, str]:
    """Names and values of what the runs of a method recorded; several values where its runs differ."""
    found: dict[str, list[str]] = {}
    for run in method.runs:
        for name, value in _of_run(run).items():
            found.setdefault(name, []).append(value)
    return {name: _joined(list(dict.fromkeys(values))) for name, values in found.items()}


def unequal(found: Comparison) -> list[str]:
    """The names of facts that should be the same for all methods and are not."""
    tables = [facts(method) for method in found.data.methods]
    names = dict.fromkeys(name for table in tables for name in table)
    other = [name for name in names if name not in THEIRS and len({table.get(name) for table in tables}) > 1]
    return [*other, *(["training time"] if _unequal_time(found) else [])]


def _unequal_time(found: Comparison) -> bool:
    """Whether methods that were given the same minutes did not take the same time."""
    given = {run.record.get("minutes") for method in found.data.methods for run in method.runs} - {None}
    taken = [seconds for method in found.data.methods if (seconds := _mean_seconds(method))]
    return len(given) == 1 and len(taken) > 1 and max(taken) > TIME_TOLERANCE * min(taken)


def _mean_seconds(method: Method) -> float:
    """Of training and validation, over the method's runs."""
    return math.fsum(_seconds(run) or 0.0 for run in method.runs) / len(method.runs)


def _seconds(run: RunFolder) -> float | None:
    known = [n for row in run.log if (n := number(row.get("seconds"))) is not None]
    return math.fsum(known) if known else None


def draw_facts(found: Comparison) -> str:
    """The table: a row a fact, a column a method, differences marked."""
    tables = [facts(method) for method in found.data.methods]
    names = dict.fromkeys(name for table in tables for name in table)
    marked = unequal(found)
    rows = []
    for name in names:
        strong = " class=strong" if name in marked else ""
        cells = "".join(f"<td{strong}>{markup.text(table.get(name, 'not recorded'))}</td>" for table in tables)
        note = "differs" if name in marked else ""
        rows.append(f'<tr><th scope="row">{markup.text(name)}</th>{cells}<td class="muted">{note}</td></tr>')
    head = ["", *(shorten(plain(method.name), LONGEST) for method in found.data.methods), ""]
    return markup.table(head, rows)


def missing_files(found: Comparison) -> list[str]:
    """What run folders lack, in words, a line a file with the step that writes it."""
    lacking: dict[str, list[str]] = {}
    steps: dict[str, str] = {}
    for method in found.data.methods:
        for run in method.runs:
            for name, step in run.missing.items():
                whose, where = shorten(plain(method.name), LONGEST // 2), shorten(plain(run.path.name), LONGEST // 3)
                lacking.setdefault(name, []).append(f"{whose} ({where})")
                steps[name] = step
    n_runs = sum(len(method.runs) for method in found.data.methods)
    return [f"No {name} in {len(runs)} of {n_runs} runs ({steps[name]} writes it): {listed(runs)}."
            for name, runs in lacking.items()]  # fmt: skip


def _of_run(run: RunFolder) -> dict[str, str]:
    record = {key: value for key, value in run.record.items() if key not in HIDDEN}
    found = settings_of(run)
    found |= {name: shorten(plain(value), LONGEST) for name, value in flatten(record) if value is not None}
    updates = [n for row in run.log if (n := number(row.get("iteration"))) is not None]
    seconds = _seconds(run)
    found |= {"updates made": f"{max(updates):,.0f}"} if updates else {}
    found |= {"training time": markup.duration(seconds)} if seconds is not None else {}
    wall = run.record.get("wall_seconds")
    return found | ({"wall time": markup.duration(wall)} if isinstance(wall, (int, float)) else {})


def _joined(values: list[str]) -> str:
    return "; ".join(values[:NAMED]) + (f"; {len(values) - NAMED} more" if len(values) > NAMED else "")
