"""Which of the methods that are compared are one method with other seeds, and whose runs were not given the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from medseg.reports.comparison.method_runs import Method
from medseg.reports.comparison.one_method import configuration
from medseg.reports.comparison.same_data import listed
from medseg.reports.run_folder import RunFolder
from medseg.reports.text_table import plain

# what a configuration says of a run and not of its method
OF_A_RUN = ("_meta_", "bundle_root", "cache_dir", "dataset_dir", "epochs", "minutes", "mlflow", "output_dir",
            "overwrite", "resume", "seed", "tensorboard", "workers")  # fmt: skip

OF_A_FOLD = ("fold", "split_seed")


def same_methods(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Pairs of names whose runs all recorded one configuration, but for seed, length and places."""
    known = {method.name: {_as_text(run) for run in method.runs} for method in methods}
    single = {name: found.pop() for name, found in known.items() if len(found) == 1}
    return [(a, b) for a, b in itertools.combinations(single, 2) if single[a] and single[a] == single[b]]


def unlike_runs(methods: Sequence[Method]) -> list[str]:
    """Of every method whose runs differ in more than the seed (or fold), in what, a sentence each: its score is a mean
    over that too, and counts what it changes as what a seed changes.
    """
    notes = []
    for method in methods:
        epochs = sorted({run.record["epochs"] for run in method.runs if isinstance(run.record.get("epochs"), int)})
        other = _other_keys(method)
        parts = [f"epochs ({epochs[0]} to {epochs[-1]})"] if len(epochs) > 1 else []
        parts += [f"settings ({listed(other)})"] if other else []
        if parts:
            differ = f"The runs of {plain(method.name)} differ in more than seed and fold: {' and '.join(parts)}."
            notes.append(f"{differ} Its score is their mean all the same.")
    return notes


def _other_keys(method: Method) -> list[str]:
    """Names of settings that runs of a method do not share."""
    found = [content for run in method.runs if "network_def" in (content := configuration(run))]
    names = dict.fromkeys(name for content in found for name in content if name not in (*OF_A_RUN, *OF_A_FOLD))
    return [
        name for name in names if len({json.dumps(each.get(name), sort_keys=True, default=str) for each in found}) > 1
    ]


def _as_text(run: RunFolder) -> str:
    """A configuration in one form; nothing where none was recorded."""
    content = configuration(run)
    if "network_def" not in content:
        return ""
    return json.dumps(
        {key: value for key, value in content.items() if key not in OF_A_RUN}, sort_keys=True, default=str
    )
