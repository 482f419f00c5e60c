"""The runs of every method of a comparison: found, read, and joined where they are folds or seeds of one method."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import DataError, Fault, UsageError
from medseg.reports.comparison.one_method import refuse_other_methods
from medseg.reports.comparison.same_data import Scored, listed, refuse_other_data
from medseg.reports.run_folder import Rows, RunFolder, leading_rows, read_run
from medseg.reports.text_table import plain

MARKS_A_RUN = ("cases.csv", "log.csv")
Folders = Path | str | Sequence[Path | str]


@dataclass(frozen=True, eq=False)
class Method:
    """One method of a comparison.

    Attributes:
        name: as its user calls it.
        runs: its run folders.
        seeds: the rows of ``cases.csv`` of the subset that is compared, a table a seed. Folds are joined into one.
    """

    name: str
    runs: tuple[RunFolder, ...]
    seeds: tuple[Rows, ...]

    @property
    def n_folds(self) -> int:
        """How many runs were joined into the table of a seed; 1 where runs are seeds."""
        return len(self.runs) if len(self.seeds) == 1 else 1

    def table_of(self, seed: int, case: str) -> Path:
        """The file that holds a case's scores of a seed."""
        runs = self.runs if self.n_folds > 1 else self.runs[seed : seed + 1]
        return next(run.path for run in runs if any(row["case"] == case for row in run.cases)) / "cases.csv"


def read_methods(methods: Mapping[str, Folders]) -> list[Method]:
    """Read the runs of every method, and refuse what cannot be compared.

    Compared are the test cases, or the validation cases where there are none. Runs of one method that scored the same
    cases are seeds of it; runs that share no case are folds, and their cases are joined. They must be of one network,
    with the same parameters, batch, patch and precision.

    Args:
        methods: a method's name to a run folder, to a folder whose sub-folders are runs of it, or to several of these.

    Raises:
        UsageError: E903, fewer than two methods, names that look alike, or one run in two places.
        DataError: E505, a folder without a run, or one that was not evaluated; E507, runs of a method that are of
            several, or runs that were not scored on the same cases, labels, references, spacings, units, tolerances and
            patients, with the first that differ; E105, a damaged file.
    """
    _check_names(list(methods))
    folders = {name: _find_runs(given) for name, given in methods.items()}
    _refuse_twice([(name, path) for name, paths in folders.items() for path in paths])
    found = [_read_method(name, paths) for name, paths in folders.items()]
    tables = [table for method in found for table in _tables(method)]
    for other in tables[1:]:
        refuse_other_data(tables[0], other)
    return found


def name_methods(given: Sequence[str]) -> dict[str, Path]:
    """Names for the folders of a command: ``NAME=FOLDER``, or the folder's own name where that tells it apart.

    Folders of one name get those above them, too: ``a/run`` and ``b/run``.

    Raises:
        UsageError: E903, one folder twice, or one name twice.
    """
    named: list[tuple[str, Path]] = []
    for text in given:
        name, mark, folder = text.partition("=")
        alone = not mark or not name or Path(text).exists()
        named.append(("", Path(text)) if alone else (name, Path(folder)))
    paths = [path.resolve() for _, path in named]
    names = [name or _shortest(path, paths) for (name, _), path in zip(named, paths, strict=True)]
    _refuse_twice([(text, path) for text, (_, path) in zip(given, named, strict=True)])
    _check_names(names)
    return dict(zip(names, (path for _, path in named), strict=True))


def _shortest(path: Path, paths: Iterable[Path]) -> str:
    """As many of a path's last parts as no other path ends with."""
    others = [other.parts for other in paths if other != path]
    n_parts = next((n for n in range(1, len(path.parts)) if path.parts[-n:] not in [each[-n:] for each in others]), 1)
    return "/".join(path.parts[-n_parts:])


def _check_names(names: Sequence[str]) -> None:
    shown = [plain(name) for name in names]
    twice = sorted({name for name in shown if shown.count(name) > 1})
    if "" in shown or twice:
        what = "two methods have one name" if twice else "a method has no name"
        fix = "name them apart: NAME=FOLDER"
        raise UsageError(Fault("E903", what, fix, found=listed(twice)))
    if len(names) < 2:
        fix = "name the folders of two methods or more; for one alone: medseg report"
        raise UsageError(Fault("E903", "a comparison needs two methods", fix, "2 or more", listed(shown) or "none"))


def _find_runs(given: Folders) -> list[Path]:
    """The run folders that a method's folders are, or hold directly below them."""
    folders = [Path(given)] if isinstance(given, (str, Path)) else [Path(each) for each in given]
    return [run for folder in folders for run in _runs_of(folder)]


def _runs_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(Fault("E101", "no such folder", "check the path", file=folder))
    if _is_run(folder):
        return [folder]
    below = sorted((each for each in folder.iterdir() if each.is_dir() and _is_run(each)), key=_natural)
    if not below:
        fix = "train and evaluate into this folder first, or name the folder of a run"
        expected = "cases.csv (evaluation writes it), here or in the folders directly below"
        raise DataError(Fault("E505", "no run in this folder", fix, expected, "none", folder))
    return below


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in MARKS_A_RUN)


def _natural(path: Path) -> tuple[Any, ...]:
    """``seed2`` before ``seed10``."""
    parts = ["".join(part) for _, part in itertools.groupby(path.name, str.isdecimal)]
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def _refuse_twice(named: Iterable[tuple[str, Path]]) -> None:
    seen: dict[Path, str] = {}
    for name, path in named:
        real = path.resolve()
        if real in seen:
            what, fix = "the same run twice", "name each run once; a copy says nothing new either"
            raise UsageError(Fault("E903", what, fix, found=f"{plain(seen[real])} and {plain(name)}", file=path))
        seen[real] = name


def _read_method(name: str, paths: Sequence[Path]) -> Method:
    runs = tuple(_read_scored(path) for path in paths)
    refuse_other_methods(name, runs)
    tables = [leading_rows(run.cases) for run in runs]
    cases = [{row["case"] for row in table} for table in tables]
    if all(each == cases[0] for each in cases):
        _refuse_same_seed(name, runs)
        return Method(name, runs, tuple(tables))
    if sum(map(len, cases)) == len(set.union(*cases)):
        return Method(name, runs, (list(itertools.chain.from_iterable(tables)),))
    other = next(place for place, each in enumerate(cases) if each != cases[0])
    fix = "give seeds of one split, or folds of one, but not both, and leave other runs out"
    found = f"{len(cases[0] & cases[other])} of {len(cases[other])} cases in common with {runs[0].path}"
    what = f"the runs of {plain(name)} are neither seeds nor folds of it"
    raise DataError(Fault("E507", what, fix, "the same cases, or none in common", found, runs[other].path))


def _read_scored(path: Path) -> RunFolder:
    """A run with scores, each case and label once."""
    run = read_run(path)
    if "cases.csv" in run.missing:
        what, fix = "the run was never evaluated: no such file", "evaluate this run first: evaluation writes the file"
        raise DataError(Fault("E505", what, fix, file=path / "cases.csv"))
    if not run.cases:
        fix = "evaluate this run again: evaluation writes the file"
        raise DataError(Fault("E505", "a table without cases", fix, "a row a case and label", file=path / "cases.csv"))
    seen = set()
    for row in leading_rows(run.cases):
        key = row["case"], row["label"]
        if key in seen:
            what, fix = f"two rows of the label {row['label']}", "copy the run's own file here"
            raise DataError(Fault("E105", what, fix, "1", "2", path / "cases.csv", row["case"]))
        seen.add(key)
    return run


def _refuse_same_seed(name: str, runs: Sequence[RunFolder]) -> None:
    """Two runs of one seed would look as if seeds changed nothing."""
    seen: dict[Any, Path] = {}
    for run in runs:
        seed = run.record.get("seed")
        if seed is not None and str(seed) in seen:
            fix = "train each with a seed of its own, or leave one out"
            what = f"two runs of {plain(name)} have one seed"
            raise DataError(Fault("E507", what, fix, "different seeds", f"{seed} here and in {seen[str(seed)]}",
                                  run.path / "record.json"))  # fmt: skip
        seen[str(seed)] = run.path


def _tables(method: Method) -> list[Scored]:
    """What every seed was scored on."""
    if method.n_folds > 1:
        places = [run.path for run in method.runs]
        return [Scored(method.name, places[0].parent, method.seeds[0], [run.split for run in method.runs])]
    return [Scored(method.name, run.path, rows, [run.split])
            for run, rows in zip(method.runs, method.seeds, strict=True)]  # fmt: skip
