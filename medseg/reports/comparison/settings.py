"""What runs were trained on and with, from ``config.yaml`` and their study's ``study.json``; links to their pages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from medseg import files
from medseg.errors import DataError
from medseg.reports import markup
from medseg.reports.comparison.method_runs import Method
from medseg.reports.comparison.one_method import configuration
from medseg.reports.run_folder import RunFolder
from medseg.reports.text_table import plain, shorten

SIZES = ("patch_size", "image_size")
FORM = {"to_onehot_y", "softmax", "sigmoid"}  # arguments of a loss that say in what form its input comes
EQUAL = {"time": "training time", "updates": "updates"}
DEEPEST = 8  # references that lead to references
LONGEST, LONGEST_NAME = 120, 40


def data_set(run: RunFolder) -> str:
    """The name of the folder that held the data: the last part of its path alone; empty where nothing says it."""
    known = configuration(run).get("dataset_dir") or _study(run).get("data")
    return plain(PurePath(known).name) if isinstance(known, str) else ""


def settings_of(run: RunFolder) -> dict[str, str]:
    """Data set, what the study made equal, learning rate, patch size, loss and optimiser, where the files say them."""
    config = configuration(run)
    sizes = [name for name in SIZES if name in config]
    train = config.get("train")
    parts = train if isinstance(train, Mapping) else {}
    found = {
        "data set": data_set(run),
        "equal in the study": EQUAL.get(str(_study(run).get("equal")), ""),
        "learning rate": _words(config, config.get("learning_rate")),
        **{name.replace("_", " "): _words(config, config[name]) for name in sizes},
        "batch size": "" if "batch_size" in run.record else _words(config, config.get("batch_size")),
        "loss": _words(config, parts.get("loss")),
        "optimizer": _words(config, parts.get("optimizer"), but={"lr", "params"}),
    }
    return {name: shorten(plain(words), LONGEST) for name, words in found.items() if words}


def report_links(methods: Sequence[Method], out: Path | None) -> str:
    """Links from a page in `out` to the pages of the runs that have one, as HTML; nothing where none has."""
    parts = []
    for method in methods:
        links = [f'<a href="{markup.text(quote(where))}">{markup.text(shorten(plain(run.path.name), LONGEST_NAME))}</a>'
                 for run in method.runs if (where := _relative(run.path / "report.html", out))]  # fmt: skip
        parts += [f"{markup.text(shorten(plain(method.name), LONGEST_NAME))}: {', '.join(links)}"] if links else []
    return f"<p>Pages of the runs: {'; '.join(parts)}.</p>" if parts else ""


def _relative(page: Path, out: Path | None) -> str:
    if out is None or not page.is_file():
        return ""
    try:
        return PurePath(os.path.relpath(page.resolve(), out.resolve())).as_posix()
    except ValueError:  # on another drive
        return ""


def _study(run: RunFolder) -> Mapping[str, Any]:
    """What ``study.json`` says, two folders above a run that it lists."""
    folder = run.path.resolve()
    path = folder.parent.parent / "study.json"
    try:
        content = files.read_json(path) if path.is_file() else {}
    except DataError:
        return {}
    runs = content.get("runs")
    return content if isinstance(runs, Mapping) and f"{folder.parent.name}/{folder.name}" in runs else {}


def _words(config: Mapping[str, Any], value: Any, but: set[str] = FORM, depth: int = 0) -> str:
    """A value in words; of a component its class and its plain arguments, and after it those of its parts."""
    value = _followed(config, value)
    if isinstance(value, Mapping) and "_target_" in value and depth < DEEPEST:
        given = {name: _followed(config, each) for name, each in value.items() if name not in but and name[:1] != "_"}
        plainly = [f"{name} {_words(config, each)}" for name, each in given.items() if _is_plain(each)]
        inner = [_words(config, each, but, depth + 1) for each in given.values() if isinstance(each, Mapping)]
        kind = str(value["_target_"]).rpartition(".")[2]
        return "; ".join([kind + (f": {', '.join(plainly)}" if plainly else ""), *filter(None, inner)])
    if isinstance(value, list):
        return f" {markup.TIMES} ".join(_words(config, each, but, depth + 1) for each in value if depth < DEEPEST)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _is_plain(value: Any) -> bool:
    """Whether it can be read as it stands: no expression, no component."""
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and value[:1] not in ("$", "@", "%"))


def _followed(config: Mapping[str, Any], value: Any) -> Any:
    """What a reference (``@train::loss``) leads to."""
    for _ in range(DEEPEST):
        if not isinstance(value, str) or value[:1] != "@":
            break
        target: Any = config
        for key in value[1:].split("::"):
            target = target.get(key) if isinstance(target, Mapping) else None
        if target is None:
            break
        value = target
    return value
