"""What a bundle's ``configs/study.yaml`` says: the task's methods, budgets and published figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import DataError, Fault, UsageError
from medseg.reports.comparison.published import read_published
from medseg.workflows.bundles import methods as deltas_of
from medseg.workflows.bundles import suggestion

NAME = "study.yaml"
OWN_LENGTH = "own"
EQUAL = ("updates", "time", OWN_LENGTH)
LENGTHS = ("epochs", "minutes")
VALIDATE = "validate"
SCORED = (VALIDATE, "test")  # whose cases a study may score
ABOUT_THE_STUDY = ("equal", "subset")  # what a budget says besides the settings of runs
# what a study sets itself, for every run
OWN = ("bundle_root", "dataset_dir", "output_dir", "overwrite", "resume", "seed")
# what all methods must share, or they would not be scored on the same cases
SHARED = ("fold", "held_out", "labels", "layout", "split_seed", "tested")
FOLDERS = ("figures", "logs")  # beside the methods' in a study's folder
FILE_SAFE = re.compile(r"[\w+][\w.,=+~-]*")


@dataclass(frozen=True)
class Method:
    """One method of a study.

    Attributes:
        name: of its folder in the study, and in every table.
        delta: the file in ``configs/`` that it lays over ``train.yaml``; None is the bundle's default.
        settings: what it sets besides.
    """

    name: str
    delta: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class StudyFile:
    """What ``study.yaml`` holds.

    Attributes:
        path: the file.
        methods: in its order; the first leads where all get as many updates.
        budgets: a budget's name to the settings that every method gets.
        equal: ``updates``, ``time`` or ``own``; None: whichever the budget is given in.
        published: whether there are published figures, which `medseg.reports.comparison.published` reads.
    """

    path: Path
    methods: tuple[Method, ...]
    budgets: Mapping[str, Mapping[str, Any]]
    equal: str | None = None
    published: bool = False


def read_study_file(bundle: Path) -> StudyFile:
    """Read ``configs/study.yaml`` of a bundle::

        methods:                        # in the order of the tables
          dynunet: {}                   # the bundle's default
          segresnet: {method: segresnet}
          unetr_slow: {method: unetr, settings: {learning_rate: 1.0e-4}}
        budgets:                        # epochs or minutes, and what else is set for every method
          tiny: {epochs: 2}
          hours: {minutes: 10}
          paper: {equal: own, subset: test}   # each method for as long as its own file says; test cases are scored
        equal: updates                  # or time; left out: whichever the budget is given in
        published: […]                  # see `medseg.reports.comparison.published`

    Raises:
        DataError: E101 no such file, E105 no YAML.
        UsageError: E903, what in it makes no sense, each with its entry; what `read_published` refuses.
    """
    path = bundle / "configs" / NAME
    content = _read(path)
    faults = [*_unknown(content, ("methods", "budgets", "equal", "published"), "", path)]
    entries, budgets = (_section(content, name, path, faults) for name in ("methods", "budgets"))
    known = deltas_of(bundle)
    found = [_method(str(name), entry or {}, known, path, faults) for name, entry in entries.items()]
    for name, budget in budgets.items():
        faults += _budget_faults(f"budgets: {name}", budget, path)
    if content.get("equal") not in (None, *EQUAL):
        faults.append(_fault("equal", " or ".join(EQUAL), content["equal"], path))
    if faults:
        raise UsageError(*faults)
    read_published(content.get("published") or [], path)
    return StudyFile(path, tuple(found), budgets, content.get("equal"), bool(content.get("published")))


def chosen_budget(file: StudyFile, name: str) -> dict[str, Any]:
    """The settings of a budget.

    Raises:
        UsageError: E901, there is none of this name.
    """
    return {key: value for key, value in _budget(file, name).items() if key not in ABOUT_THE_STUDY}


def budget_equal(file: StudyFile, name: str) -> str | None:
    """What all methods get the same of under a budget: its own word, else the file's; None where neither says.

    Raises:
        UsageError: E901, there is none of this name.
    """
    return _budget(file, name).get("equal") or file.equal


def budget_subset(file: StudyFile, name: str) -> str:
    """Which cases are scored under a budget where nobody says otherwise.

    Raises:
        UsageError: E901, there is none of this name.
    """
    return _budget(file, name).get("subset") or VALIDATE


def _budget(file: StudyFile, name: str) -> Mapping[str, Any]:
    if name not in file.budgets:
        fix = f"choose one of {', '.join(file.budgets)}{suggestion(name, file.budgets)}"
        raise UsageError(Fault("E901", "no such budget", fix, found=name, file=file.path))
    return file.budgets[name]


def chosen_methods(file: StudyFile, names: Sequence[str] | None) -> list[Method]:
    """The methods of these names, in the file's order; all of them where `names` is None.

    Raises:
        UsageError: E901, there is none of a name, or no name.
    """
    known = [method.name for method in file.methods]
    if names is not None and not names:
        raise UsageError(Fault("E901", "no method is named", f"choose from {', '.join(known)}", file=file.path))
    for name in names or ():
        if name not in known:
            fix = f"choose from {', '.join(known)}{suggestion(name, known)}"
            raise UsageError(Fault("E901", "no such method in this study", fix, found=name, file=file.path))
    return [method for method in file.methods if names is None or method.name in names]


def refuse_settings(where: str, settings: Mapping[str, Any], refused: Sequence[str], path: str | Path = "") -> None:
    """Refuse settings that are not one method's to choose.

    Raises:
        UsageError: E903, with each of them.
    """
    faults = _setting_faults(where, settings, refused, path)
    if faults:
        raise UsageError(*faults)


def is_folder_name(name: str) -> bool:
    """Whether a method may be called so: its folder is, beside the study's own."""
    return bool(FILE_SAFE.fullmatch(name)) and name not in FOLDERS and len(name) <= 120


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        fix = "write one (medseg's own bundles have it), or vary keys with medseg sweep"
        raise DataError(Fault("E101", "the bundle names no study", fix, file=path))
    content = files.read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(_fault("the file", "methods and budgets", type(content).__name__, path))
    return content


def _section(content: Mapping[str, Any], name: str, path: Path, faults: list[Fault]) -> dict[str, Any]:
    """A mapping that must hold something."""
    section = content.get(name)
    if isinstance(section, dict) and section:
        return {str(key): value for key, value in section.items()}
    faults.append(_fault(name, "a name and settings a line", section, path))
    return {}


def _method(name: str, entry: Any, known: Sequence[str], path: Path, faults: list[Fault]) -> Method:
    where = f"methods: {name}"
    if not isinstance(entry, dict):
        faults.append(_fault(where, "{}, or {method: …, settings: {…}}", entry, path))
        return Method(name)
    faults += _unknown(entry, ("method", "settings"), f"{where}: ", path)
    if not is_folder_name(name):
        faults.append(_fault(where, "a name of letters, digits and . , = + - _ ~, not figures or logs", name, path))
    delta, settings = entry.get("method"), entry.get("settings") or {}
    if delta is not None and delta not in known:
        faults.append(_fault(f"{where}: method", f"one of {', '.join(known) or 'none'}", delta, path))
    if not isinstance(settings, dict):
        faults.append(_fault(f"{where}: settings", "a key and its value a line", settings, path))
        return Method(name, delta)
    faults += _setting_faults(where, settings, (*OWN, *SHARED, *LENGTHS), path)
    return Method(name, delta, settings)


def _budget_faults(where: str, budget: Any, path: Path) -> list[Fault]:
    own = isinstance(budget, dict) and budget.get("equal") == OWN_LENGTH
    if not isinstance(budget, dict) or sum(name in budget for name in LENGTHS) != (0 if own else 1):
        expected = "epochs or minutes, one of the two, and other settings; neither with equal: own"
        return [_fault(where, expected, budget, path)]
    faults = _setting_faults(where, budget, OWN, path)
    if budget.get("equal") not in (None, *EQUAL):
        faults.append(_fault(f"{where}: equal", " or ".join(EQUAL), budget["equal"], path))
    if budget.get("subset") not in (None, *SCORED):
        faults.append(_fault(f"{where}: subset", " or ".join(SCORED), budget["subset"], path))
    if own:
        return faults
    length = next(name for name in LENGTHS if name in budget)
    value = budget[length]
    if isinstance(value, bool) or not isinstance(value, int if length == "epochs" else (int, float)) or value <= 0:
        faults.append(_fault(f"{where}: {length}", "a number above 0", value, path))
    return faults


def _setting_faults(where: str, settings: Mapping[str, Any], refused: Sequence[str], path: str | Path) -> list[Fault]:
    what = "the study sets this for every run"
    return [
        Fault("E903", f"{where}: {what}", "leave it out", found=str(key), file=path)
        for key in settings
        if re.split(r"::|#", str(key).lstrip("+"))[0] in refused
    ]


def _unknown(entry: Mapping[str, Any], known: Sequence[str], where: str, path: Path) -> list[Fault]:
    faults = []
    for key in entry:
        if key not in known:
            fix = f"leave it out{suggestion(str(key), known)}"
            faults.append(Fault("E903", f"{where}unknown key", fix, ", ".join(known), str(key), path))
    return faults


def _fault(where: str, expected: str, found: Any, path: Path) -> Fault:
    return Fault("E903", f"{where}: not what a study takes", "mend it", expected, repr(found)[:80], path)
