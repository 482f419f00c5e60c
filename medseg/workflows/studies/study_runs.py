"""The runs of a study, one after the other, each in processes of its own."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import Fault, UsageError
from medseg.reports.run_folder import read_run
from medseg.workflows.bundles import config_files
from medseg.workflows.run import checked_path, command_line, command_words
from medseg.workflows.studies.child import run_child
from medseg.workflows.studies.first_look import FirstLook
from medseg.workflows.studies.study_file import LENGTHS, VALIDATE, Method
from medseg.workflows.studies.study_state import StudyState

WORKFLOWS = ("train", "evaluate")
REFUSES = re.compile(r"^\[E9|\(exit code 2\)$")  # a reason that is the configuration's, by our code or by a command's
Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What to train, evaluate and compare.

    Attributes:
        bundle, data, out: the bundle's folder, the data folder and the study's own.
        methods: the first leads where all get as many updates.
        seeds: how many; run k of a method has ``seed: k``. The split hangs on ``split_seed`` alone.
        settings: of every method; the budget (``epochs`` or ``minutes``) among them.
        equal: ``updates``: every run makes as many as the budget gives the first run; ``time``: every method is planned
            for the same minutes, its seeds for as many epochs as the first of them; ``own``: every method trains for as
            long as its own configuration says.
        published: a file with published figures to show beside, or None.
        subset: which cases are scored, ``validate`` or ``test``.
        folds: of a cross-validation, whose runs take the place of seeds: run k of a method holds out the k-th of so
            many equal parts of the cases, and each case is scored once. None: every run holds out the same cases.
    """

    bundle: Path
    data: Path
    out: Path
    methods: Sequence[Method]
    seeds: int
    settings: Mapping[str, Any]
    equal: str
    published: Path | None = None
    subset: str = VALIDATE
    folds: int | None = None

    def runs(self) -> list[Run]:
        """All of them, in the order in which they are done: each method once, then each again."""
        return [
            Run(method, seed, fold)
            for fold in ([None] if self.folds is None else range(self.folds))
            for seed in range(self.seeds)
            for method in self.methods
        ]

    def split(self, fold: int | None) -> dict[str, Any]:
        """What a cross-validation sets for the runs of a fold."""
        return {} if self.folds is None or fold is None else {"held_out": 1 / self.folds, "fold": fold}


@dataclass(frozen=True)
class Run:
    """One method with one seed, or with one fold."""

    method: Method
    seed: int
    fold: int | None = None

    @property
    def part(self) -> str:
        """Which of its method's runs it is."""
        return f"seed{self.seed}" if self.fold is None else f"fold{self.fold}"

    @property
    def name(self) -> str:
        """Of its folder below the study's."""
        return f"{self.method.name}/{self.part}"

    @property
    def log(self) -> str:
        """What it prints, below the study's folder."""
        return f"logs/{self.method.name}-{self.part}.log"


@dataclass
class Conductor:
    """Goes through the runs of a study, one after the other."""

    study: Study
    look: FirstLook
    state: StudyState
    say: Say
    lock: int
    seconds: list[float] = field(default_factory=list)

    def conduct(self, runs: Sequence[Run]) -> dict[Run, str]:
        """Do what is not done; the runs that failed, with the reason.

        Raises:
            UsageError: E903, the first run of the study refuses its configuration: others would, one after the other.
        """
        failures: dict[Run, str] = {}
        epochs = self.study.settings.get("epochs")
        if self.study.equal == "updates" and epochs is not None:
            self._keep_updates(epochs * self.look.steps[self.study.methods[0].name])
        for place, run in enumerate(runs, start=1):
            if self._is_done(run):
                self.say(f"run {place} of {len(runs)}: {run.name} is done")
                continue
            left = [each for each in runs[place - 1 :] if not self._is_done(each)]
            self.say(f"run {place} of {len(runs)}: {run.name}{self._time_left(len(left))}")
            begun = time.monotonic()
            reason = self._do(run)
            if reason is None:
                self.seconds.append(time.monotonic() - begun)
            else:
                if REFUSES.search(reason) and not failures and not any(map(self._is_done, runs)):
                    fix = "mend the configuration and start again: no other run was started"
                    what = f"the first run, {run.name}, does not start: {reason}"
                    raise UsageError(Fault("E903", what, fix, file=self.study.out / run.log))
                failures[run] = reason
                self.say(f"{run.name} failed: {reason}; see {self.study.out / run.log}")
        return failures

    def _do(self, run: Run) -> str | None:
        """Train and evaluate; the reason where one of them failed."""
        folder = self.study.out / run.name
        epochs = self._epochs(run)
        if epochs is None:
            return "equal updates are planned by the first run of the study, which failed"
        settings = {"bundle_root": str(self.study.bundle), "output_dir": checked_path("--out", folder),
                    "dataset_dir": str(self.study.data), **self.study.settings, **epochs, **run.method.settings,
                    **self.study.split(run.fold), "seed": run.seed}  # fmt: skip
        for workflow in WORKFLOWS:
            if workflow == "train" and _is_trained(folder):
                continue
            given = settings | self._own(workflow)
            config = config_files(self.study.bundle, workflow, run.method.delta)
            self.state.note(run.name, done=False, **{workflow: command_line(config, given)})
            self.say(command_line(config, given))
            words = [sys.executable, *command_words(config, given)[1:]]
            reason = run_child(words, self.study.out / run.log, lambda line: self.say(f"  {line}"), self.lock)
            self._keep_plan(run)
            if reason is not None:
                return reason
        self.state.note(run.name, done=True, subset=self.study.subset, **_facts(folder))
        return None

    def _own(self, workflow: str) -> dict[str, Any]:
        """The settings of one workflow alone."""
        if workflow == "train":
            return {"resume": True}
        return {} if self.study.subset == VALIDATE else {"subset": self.study.subset}

    def _epochs(self, run: Run) -> dict[str, Any] | None:
        """What of the budget is this run's own; None where it hangs on a run that failed."""
        if not self._shares_updates(run):
            planned = self._planned_by_another_run(run)
            return {} if planned is None else {"minutes": None, "epochs": planned}
        updates = self.state.content["updates"]
        if updates is not None:
            epochs = max(1, round(updates / self.look.steps[run.method.name]))
            return {"minutes": None, "epochs": epochs} if "minutes" in self.study.settings else {"epochs": epochs}
        return {} if run == self.study.runs()[0] else None

    def _planned_by_another_run(self, run: Run) -> int | None:
        """What minutes became for the method's first seed or fold, so that they differ in that alone; None where this
        run plans, has planned (it goes on then), or is not given minutes.
        """
        settings = {**self.study.settings, **run.method.settings}
        if settings.get("minutes") is None or (self.study.out / run.name / "record.json").is_file():
            return None
        others = (each for each in self.study.runs() if each.method == run.method)
        records = (self.study.out / each.name / "record.json" for each in others)
        return next((int(files.read_json(record)["epochs"]) for record in records if record.is_file()), None)

    def _shares_updates(self, run: Run) -> bool:
        """Whether the run makes as many as the others; not where a sweep varies just that."""
        return self.study.equal == "updates" and not any(name in run.method.settings for name in LENGTHS)

    def _keep_plan(self, run: Run) -> None:
        """What minutes gave the first run is what every run gets."""
        record = self.study.out / run.name / "record.json"
        if self._shares_updates(run) and record.is_file():
            planned = files.read_json(record)
            self._keep_updates(planned["epochs"] * planned["steps_an_epoch"])

    def _keep_updates(self, updates: int) -> None:
        if self.state.content["updates"] is None:
            self.state.content["updates"] = updates
            self.state.save()

    def _is_done(self, run: Run) -> bool:
        """Whether all of it was done, on the cases that are asked for, and is still there."""
        folder, noted = self.study.out / run.name, self.state.content["runs"].get(run.name, {})
        done = noted.get("done", False) and noted.get("subset", VALIDATE) == self.study.subset
        return done and _is_trained(folder) and (folder / "cases.csv").is_file()

    def _time_left(self, n_left: int) -> str:
        """As long as the runs so far took; before the first, what the budget says."""
        planned = 60 * float(self.study.settings.get("minutes") or 0)
        mean = math.fsum(self.seconds) / len(self.seconds) if self.seconds else planned
        if not mean:
            return ""
        left = n_left * mean / 60
        return f", about {left / 60:.1f} h left" if left > 90 else f", about {math.ceil(left)} min left"


def _is_trained(folder: Path) -> bool:
    """Whether training came to its end, the standalone bundle included, whose weights are written last."""
    record = folder / "record.json"
    if not (folder / "bundle" / "models" / "model.pt").is_file() or not record.is_file():
        return False
    return files.read_json(record).get("finished") is not None


def _facts(folder: Path) -> dict[str, Any]:
    """What a run used; its seconds are those of all its epochs, however often it was stopped."""
    run = read_run(folder)
    seconds = math.fsum(float(row["seconds"]) for row in run.log)
    return {
        "epochs": run.record["epochs"],
        "updates": int(run.log[-1]["iteration"]),
        "train_seconds": round(seconds, 1),
        "parameters": run.record["parameters"],
        "seconds_a_case": run.record.get("inference", {}).get("seconds_a_case"),
    }
