"""`medseg sweep`: a study whose methods are one method with named keys varied over a grid."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.errors import Fault, UsageError
from medseg.settings import choice, whole_number
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.run import checked_path, parse_overrides
from medseg.workflows.studies.study import carry_out, natural, refuse_two_lengths, to_stderr, with_budget
from medseg.workflows.studies.study_file import (
    EQUAL,
    LENGTHS,
    OWN,
    SHARED,
    Method,
    chosen_budget,
    read_study_file,
    refuse_settings,
)
from medseg.workflows.studies.study_runs import Say, Study

LONGEST = 80  # letters of a run's name, before a digest tells it apart


def run_sweep(
    bundle: str,
    data: str | Path,
    words: Sequence[str],
    out: str | Path | None = None,
    method: str | None = None,
    budget: str | None = None,
    seeds: int = 1,
    equal: str | None = None,
    say: Say | None = None,
) -> list[str]:
    """Train and evaluate every combination of the values of some keys, and compare them; see `study.run_study`.

    Args:
        bundle, data, seeds, equal, say: as for a study.
        words: ``key=v1,v2`` varies a key, ``key=v`` sets it for all.
        out: the folder; ``sweeps/<bundle>`` where it is None. Runs go to ``<out>/<key>=<value>,…/seed<k>``.
        method: one of the bundle's further methods; None takes its default.
        budget: one of the bundle's ``study.yaml``; None takes the configuration's own, or ``epochs=`` or ``minutes=``
            of `words`.

    Returns:
        What to show at the end.

    Raises:
        UsageError: E901, E903, a key or a value that cannot be varied, before any run. What a study raises.
    """
    root = find_bundle(bundle).absolute()
    config_files(root, "train", method)  # refuses an unknown method
    values = {key: [parse_overrides([f"{key}={each}"])[key] for each in split_values(text)]
              for key, text in _keys(words).items()}  # fmt: skip
    varied = {key: given for key, given in values.items() if len(given) > 1}
    fixed = {key: given[0] for key, given in values.items() if len(given) == 1}
    refuse_settings("key=v1,v2", varied, (*OWN, *SHARED))
    refuse_two_lengths(fixed | varied)
    named = chosen_budget(read_study_file(root), budget) if budget is not None else {}
    settings = with_budget({} if set(varied) & set(LENGTHS) else named, fixed)
    study = Study(
        bundle=root,
        data=Path(checked_path("--data", data)),
        out=Path(checked_path("--out", out or Path("sweeps") / root.name)),
        methods=grid(varied, method),
        seeds=whole_number("seeds", seeds),
        settings=settings,
        equal=choice("equal", equal or natural(settings), EQUAL),
    )
    return carry_out(study, say or to_stderr)


def grid(varied: Mapping[str, Sequence[Any]], delta: str | None = None) -> list[Method]:
    """Every combination of the keys' values as a method, the last key varied first.

    Raises:
        UsageError: E903, nothing is varied, or two combinations have one name.
    """
    if not varied:
        fix = "write key=v1,v2, for example learning_rate=1e-3,5e-3"
        raise UsageError(Fault("E903", "a sweep varies at least one key", fix))
    combinations = [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]
    found = [Method(_name(each), delta, each) for each in combinations]
    names = [method.name for method in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(Fault("E903", "a value stands there twice", "leave one out", found=", ".join(twice)))
    return found


def split_values(text: str) -> list[str]:
    """``a,[1,2],(3,4)`` as ``a``, ``[1,2]`` and ``(3,4)``: commas between brackets or quotes do not separate."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _keys(words: Sequence[str]) -> dict[str, str]:
    """Key to what stands behind it."""
    keys: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key or not all(split_values(text)) or key in keys:
            what = "a key twice" if key in keys else "not a key with its values"
            raise UsageError(Fault("E901", what, "write key=v1,v2", "key=v1,v2", word))
        keys[key] = text
    return keys


def _name(settings: Mapping[str, Any]) -> str:
    """``learning_rate=0.001,batch_size=2``, safe as a folder's name; a long one ends with a digest."""
    text = ",".join(f"{key}={_value(value)}" for key, value in settings.items())
    safe = re.sub(r"[^\w.,=+~-]+", "_", text.replace("::", ".").replace(" ", "")).strip("_")
    if len(safe) <= LONGEST:
        return safe
    return f"{safe[:LONGEST]}~{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _value(value: Any) -> str:
    """``32x48x40`` of a list."""
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
