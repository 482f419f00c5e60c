"""Which of the methods that are compared are one method, trained with other seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import yaml

from medseg.reports.comparison.method_runs import Method

# what a configuration says of a run and not of its method
OF_A_RUN = ("_meta_", "bundle_root", "cache_dir", "dataset_dir", "epochs", "minutes", "mlflow", "output_dir", "overwrite",
            "resume", "seed", "tensorboard", "workers")  # fmt: skip


def same_methods(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Pairs of names whose runs all recorded one configuration, but for seed, length and places."""
    known = {method.name: {_configuration(run.config) for run in method.runs} for method in methods}
    single = {name: found.pop() for name, found in known.items() if len(found) == 1}
    return [(a, b) for a, b in itertools.combinations(single, 2) if single[a] and single[a] == single[b]]


def _configuration(text: str) -> str:
    """In one form; nothing where none was recorded."""
    try:
        content = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        return ""
    if not isinstance(content, dict) or "network_def" not in content:
        return ""
    return json.dumps({key: value for key, value in content.items() if key not in OF_A_RUN}, sort_keys=True, default=str)
