"""`medseg study`: train and evaluate a task's methods in turn, each with several seeds, then compare them."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.errors import Fault, TrainingError, UsageError
from medseg.reports.comparison.published import read_published, refuse_other_labels
from medseg.reports.comparison.results import MEAN
from medseg.settings import choice, number, whole_number
from medseg.workflows.bundles import find_bundle
from medseg.workflows.run import checked_path
from medseg.workflows.studies.child import ended_by_signals
from medseg.workflows.studies.first_look import FirstLook, look_first
from medseg.workflows.studies.study_file import (
    EQUAL,
    LENGTHS,
    OWN,
    OWN_LENGTH,
    SCORED,
    VALIDATE,
    budget_equal,
    budget_subset,
    chosen_budget,
    chosen_methods,
    read_study_file,
    refuse_settings,
)
from medseg.workflows.studies.study_runs import Conductor, Run, Say, Study
from medseg.workflows.studies.study_state import StudyState, locked, refuse_foreign

SEEDS = 3


def run_study(
    bundle: str,
    data: str | Path,
    out: str | Path | None = None,
    budget: str = "hours",
    seeds: int | None = None,
    methods: Sequence[str] | None = None,
    equal: str | None = None,
    subset: str | None = None,
    folds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    say: Say | None = None,
) -> list[str]:
    """Train and evaluate the methods that a bundle's ``study.yaml`` names, and compare them.

    Runs go to ``<out>/<method>/seed<k>``, all first seeds before all second ones, so that a study that is stopped early
    is balanced. Each is a child process; what is done is not done again, and a run that was killed goes on from its
    last checkpoint. ``<out>/study.json`` says what the study is and what each run used; ``<out>/logs`` holds what each
    printed.

    Args:
        bundle: a bundle's name or folder.
        data: the data folder.
        out: the study's folder; ``studies/<bundle>`` where it is None.
        budget: one of the file's.
        seeds: how many runs a method; three where it is None, one of each fold.
        methods: some of the file's; None takes all.
        equal: ``updates``, ``time`` or ``own`` (each method for as long as its own configuration says); None takes the
            budget's or the file's word, else ``time`` for a budget in minutes.
        subset: which cases are scored: ``validate``, held out of training, or ``test``, which the data set itself (or
            ``tested``) keeps back; None takes the budget's word, else ``validate``. A study that is done is scored anew
            for another, and not trained again.
        folds: of a cross-validation; runs go to ``<out>/<method>/fold<k>``, and the scores of all folds are joined, in
            which each case stands once. None: all runs hold out the same cases.
        overrides: settings of every run, above those of the budget.
        say: takes progress, line by line; None prints it to stderr.

    Returns:
        What to show at the end: the comparison's lines, and what each method used.

    Raises:
        UsageError, DataError: what `read_study_file`, `look_first` and `StudyState` refuse, before any run; E903,
            published rows of labels that the bundle does not have, folds beside what they contradict; a first run that
            refuses its configuration.
        TrainingError: E803, runs that failed, each with its reason and log; the others are done and compared.
    """
    root = find_bundle(bundle).absolute()
    file = read_study_file(root)
    settings = with_budget(chosen_budget(file, budget), overrides or {})
    if folds is not None:
        _refuse_beside_folds(whole_number("folds", folds, 2), seeds, subset, settings)
    place = out or Path("studies") / root.name
    study = Study(
        bundle=root,
        data=Path(checked_path("--data", data)),
        out=Path(checked_path("--out", place)),
        methods=chosen_methods(file, methods),
        seeds=whole_number("seeds", (SEEDS if folds is None else 1) if seeds is None else seeds),
        settings=settings,
        equal=choice("equal", equal or budget_equal(file, budget) or natural(settings), EQUAL),
        published=file.path if file.published else None,
        subset=choice("subset", subset or (VALIDATE if folds else budget_subset(file, budget)), SCORED),
        folds=folds,
    )
    return carry_out(study, say or to_stderr)


def _refuse_beside_folds(folds: int, seeds: int | None, subset: str | None, settings: Mapping[str, Any]) -> None:
    """Refuse what a cross-validation decides itself.

    Raises:
        UsageError: E903.
    """
    for name, given, expected in (("seeds", seeds, 1), ("subset", subset, VALIDATE)):
        if given not in (None, expected):
            what, fix = f"{name} beside folds: each fold is trained once and scores what it holds out", "leave it out"
            raise UsageError(Fault("E903", what, fix, str(expected), str(given)))
    for name in ("fold", "held_out"):
        if name in settings:
            what, fix = f"{name} beside folds: a cross-validation sets it for each run", "leave it out"
            raise UsageError(Fault("E903", what, fix, f"{folds} folds alone", f"{name}={settings[name]}"))


def with_budget(budget: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A budget's settings with others above them; ``epochs`` takes the place of ``minutes``, or the other way round.

    Raises:
        UsageError: E903, both of them, or a setting that is the study's own.
    """
    refuse_settings("key=value", overrides, OWN)
    refuse_two_lengths(overrides)
    replaced = any(overrides.get(name) is not None for name in LENGTHS)
    return {name: value for name, value in budget.items() if not (replaced and name in LENGTHS)} | dict(overrides)


def refuse_two_lengths(settings: Mapping[str, Any]) -> None:
    """Refuse ``epochs`` beside ``minutes``: minutes would win in silence.

    Raises:
        UsageError: E903.
    """
    given = [f"{name}={settings[name]}" for name in LENGTHS if settings.get(name) is not None]
    if len(given) > 1:
        what, fix = "epochs and minutes: one says how long to train", "leave one of them out"
        raise UsageError(Fault("E903", what, fix, "one of them", " ".join(given)))


def natural(settings: Mapping[str, Any]) -> str:
    """What is equal where nobody says it."""
    return "updates" if settings.get("minutes") is None else "time"


def to_stderr(line: str) -> None:
    """Progress is no result: it goes beside what the command prints."""
    print(line, file=sys.stderr, flush=True)


def carry_out(study: Study, say: Say) -> list[str]:
    """Do all that is not done yet of a study, and compare; see `run_study`."""
    if study.equal == "time" and study.settings.get("minutes") is None:
        fix = "choose a budget in minutes, set minutes=…, or ask for equal updates"
        raise UsageError(Fault("E903", "equal time needs a budget in minutes", fix, found=str(dict(study.settings))))
    if study.equal == OWN_LENGTH and any(study.settings.get(name) is not None for name in LENGTHS):
        fix = "leave epochs and minutes out, or ask for equal time or updates"
        raise UsageError(Fault("E903", "each method has a length of its own", fix, found=str(dict(study.settings))))
    for settings in (study.settings, *(method.settings for method in study.methods)):
        _check_length(settings)
    refuse_foreign(study.out, study.data)
    several = "1 configuration" if len(study.methods) == 1 else f"{len(study.methods)} configurations"
    say(f"checking {several} and the data")
    look = look_first(study.bundle, str(study.data), study.methods, {**study.settings, **study.split(0)})
    _refuse_published(study, look)
    _refuse_empty(study, look)
    runs = study.runs()
    with ended_by_signals(), locked(study.out, say) as lock:
        state = StudyState(study.out, _described(study, look))
        state.save()
        cases = ", ".join(f"{n} {subset}" for subset, n in look.cases.items())
        say(f"{cases} cases{' in the first fold' if study.folds else ''}, {len(runs)} runs in {study.out}")
        try:
            failures = Conductor(study, look, state, say, lock).conduct(runs)
            done = [run for run in runs if run not in failures]
            lines = [*_used(done, state), *_compare(study, done, failures)]
        except SystemExit:
            say(f"stopped; the same command goes on with the study in {study.out}")
            raise
    if failures:
        for line in lines:
            say(line)
        fix = "see its log; the same command does again what failed, and nothing else"
        raise TrainingError(*(Fault("E803", f"{run.name} failed: {reason}", fix, file=study.out / run.log)
                              for run, reason in failures.items()))  # fmt: skip
    return lines


def _check_length(settings: Mapping[str, Any]) -> None:
    """Refuse what a run would refuse, before anything is written."""
    if settings.get("epochs") is not None:
        whole_number("epochs", settings["epochs"])
    if settings.get("minutes") is not None:
        number("minutes", settings["minutes"], 0.0, math.inf)


def _refuse_published(study: Study, look: FirstLook) -> None:
    """Published rows of other labels would be refused by the comparison, when all runs are done."""
    if study.published is not None and look.labels:
        known = (MEAN, *look.labels) if len(look.labels) > 1 else look.labels
        refuse_other_labels(read_published(study.published), known, study.published, "this bundle")


def _refuse_empty(study: Study, look: FirstLook) -> None:
    """What would be found when the first run is evaluated."""
    if not look.cases.get(study.subset):
        fix = "score the cases held out of training (--subset validate), or set tested=0.2"
        found = str(dict(look.cases))
        raise UsageError(Fault("E903", f"no labelled {study.subset} cases to score", fix, found=found, file=study.data))


def _described(study: Study, look: FirstLook) -> dict[str, Any]:
    """What ``study.json`` says of the study, in JSON's own types."""
    methods = {
        method.name: {
            "delta": method.delta,
            "settings": dict(method.settings),
            "configuration": look.configurations[method.name],
        }
        for method in study.methods
    }
    content = {"bundle": study.bundle.name, "data": str(study.data), "cases": dict(look.cases), "split": look.split,
               "equal": study.equal, "settings": dict(study.settings), "methods": methods,
               "seeds": list(range(study.seeds)), "folds": study.folds}  # fmt: skip
    return dict(json.loads(json.dumps(content, default=str)))


def _used(done: Sequence[Run], state: StudyState) -> list[str]:
    """A line a method: runs, updates and minutes of training each, seconds to predict a case, parameters."""
    lines = []
    for name in dict.fromkeys(run.method.name for run in done):
        facts = [state.content["runs"][run.name] for run in done if run.method.name == name]
        updates = sorted({each["updates"] for each in facts})
        each = f"{updates[0]} to {updates[-1]}" if len(updates) > 1 else str(updates[0])
        minutes = statistics.mean(each["train_seconds"] for each in facts) / 60
        millions = facts[0]["parameters"] / 1e6
        runs_of = "1 run of" if len(facts) == 1 else f"{len(facts)} runs of"
        timed = [seconds for fact in facts if (seconds := fact.get("seconds_a_case")) is not None]
        inference = f"{statistics.mean(timed):.2g} s to predict a case, " if timed else ""
        lines.append(f"{name}: {runs_of} {each} updates, {minutes:.1f} minutes of training each, {inference}"
                     f"{millions:.1f} M parameters")  # fmt: skip
    return lines


def _compare(study: Study, done: Sequence[Run], failures: Mapping[Run, str]) -> list[str]:
    """Tables, figures and the page of what is done, which says what is not."""
    from medseg.reports.comparison.write import write_comparison

    folders: dict[str, list[Path]] = {}
    for run in done:
        folders.setdefault(run.method.name, []).append(study.out / run.name)
    if len(folders) < 2:
        return [f"nothing to compare: {'one method is' if folders else 'no method is'} done"]
    notices = [f"Not compared, since it failed: {run.name} ({reason})." for run, reason in failures.items()]
    return write_comparison(folders, study.out, study.published, notices=notices)
