"""The run folder: what was run on what, and one row an epoch."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import math
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
import yaml
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

import medseg
from medseg import files
from medseg.errors import DataError, Fault, TrainingError, UsageError
from medseg.handlers import iteration_log
from medseg.handlers.unwrapped import unwrapped
from medseg.settings import switch
from medseg.volumes import digest

CONTENTS = ("bundle", "checkpoints", "figures", "predictions", "previews", "baselines.csv", "cases.csv", "config.yaml",
            "confusion.csv", "curves.csv", iteration_log.NAME, "log.csv", "record.json", "report.html",
            "split.json")  # fmt: skip
# what a run writes before its first last.pt, which follows the first row of log.csv
FIRST = {"checkpoints", "config.yaml", iteration_log.NAME, "log.csv", "previews", "record.json", "split.json"}
DECIDE = ("seed", "batch_size", "precision", "steps_an_epoch", "data_fingerprint", "network", "parameters")
SCORED = ("best_also", "early_stop", "weights")  # settings that choose by the scores of held-out cases
# settings that may change when a run goes on: places, the machine, its length, what is logged, written, chosen at last
FREE = {"bundle_root", "cache_dir", "checkpoint_every", "dataset_dir", "device", "early_stop", "epochs", "finalize",
        "imports", "initialize", "minutes", "mlflow", "network", "output_dir", "overwrite", "rank", "resume", "run",
        "start_from", "tensorboard", "validations", "weights", "workers", "world"}  # fmt: skip
ROUND = ("device", "threads", "versions")  # what changes the last digits of a result

logger = logging.getLogger(__name__)


class RunFolder:
    """Write ``config.yaml``, ``split.json``, ``record.json``, ``log.csv`` and ``iterations.csv`` of a training run.

    Nothing is written before training starts, so that a refused run leaves nothing behind. With `resume` the run that
    the folder holds goes on: its data must be the same, and its settings but for those in `FREE`; rows that are newer
    than its checkpoint go.
    ``log.csv`` has a row an epoch, ``iterations.csv`` one an iteration: epoch, loss, and the learning rate it took.

    Args:
        output_dir: the run folder; it must not hold a run already, unless `overwrite` (which removes that run).
        config: the merged configuration as run.
        cases: what `medseg.cases.split_cases` gave.
        evaluator: the validation engine whose metrics go into the log.
        resume: go on with the run that the folder holds, where there is one.
        settings: what else the record should hold (the seed, the number of workers, …).
        bundle_root: the bundle's folder, from which the standalone bundle will be made.

    Raises:
        DataError: E503, when the folder holds a run already.
        TrainingError: E804, when it is not this run that should go on, or not with these settings.
        UsageError: E901, when `bundle_root` is not a bundle's folder; E903, when `overwrite` is neither True nor False,
            or what goes by the scores of held-out cases is asked for where no case is held out.
    """

    def __init__(
        self,
        output_dir: str | Path,
        config: Mapping[str, Any],
        cases: Mapping[str, Sequence[Mapping[str, Any]]],
        evaluator: Engine,
        overwrite: bool = False,
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
        bundle_root: str | Path | None = None,
    ) -> None:
        self.folder, self.config, self.cases, self.evaluator = Path(output_dir), config, cases, evaluator
        self.overwrite, self.resume = switch("overwrite", overwrite), switch("resume", resume)
        self.settings = dict(settings or {})
        self.bundle_root = bundle_root
        self.rows: list[dict[str, Any]] = []
        self.losses: list[float] = []  # of the iterations of this epoch, like their learning rates
        self.rates: list[float] = []
        self.validated: dict[str, float] = {}
        self.begun = 0.0
        self.earlier = 0.0  # seconds of the run before this process took it over
        self.opened = self.ended = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`, after its `ValidationHandler`."""
        engine.parts["log"] = self
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._add_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._add_row)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        self.evaluator.add_event_handler(Events.COMPLETED, self._note_validation)

    def _start(self, engine: Engine) -> None:
        if engine.state.epoch:  # a federated client goes on with the same engine
            return
        self._refuse_wrong_root()
        self._refuse_choice_without_scores()
        self.clock = time.monotonic()
        split = {subset: [_listed(item) for item in items] for subset, items in self.cases.items()}
        self.record = self._facts(engine, split)
        checkpoints = self.folder / "checkpoints"
        if self.resume and ((checkpoints / "last.pt").exists() or (checkpoints / "last.prev.pt").exists()):
            self._continue(split)
        else:
            self._claim()
        for folder in (self.folder, checkpoints):
            files.remove_leftovers(folder)
        self.split = split

    def _open(self) -> None:
        """Write what is known of the run; not before all handlers have agreed to start or to go on."""
        text = yaml.safe_dump(_plain(self.config), sort_keys=False, allow_unicode=True)
        files.write_text(self.folder / "config.yaml", text)
        files.write_json(self.folder / "split.json", {"seed": self.settings.get("split_seed")} | self.split)
        files.write_json(self.folder / "record.json", self.record)
        self.opened = True

    def _refuse_wrong_root(self) -> None:
        if self.bundle_root is not None and not (Path(self.bundle_root) / "configs" / "train.yaml").is_file():
            fix = "run inside the bundle's folder, or pass --bundle_root <that folder>"
            raise UsageError(Fault("E901", "bundle_root is not a bundle's folder", fix, "configs/train.yaml in it",
                                   file=self.bundle_root))  # fmt: skip

    def _refuse_choice_without_scores(self) -> None:
        """Where no case is held out, nothing can be chosen by its score."""
        for name in SCORED:
            if not self.cases.get("validate") and self.config.get(name) not in (None, 0, False, "last", []):
                what, fix = f"{name} goes by held-out cases, and there are none", f"leave {name} out, or hold some out"
                raise UsageError(Fault("E903", what, fix, "held_out above 0", f"{name}={self.config[name]}"))

    def _continue(self, split: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take over the record of the run that goes on, if it is this one."""
        before = files.read_json(self.folder / "record.json")
        other = [name for name in DECIDE if before.get(name) != self.record.get(name)]
        if other:
            fix = "resume with the data and settings of the run, or choose another output_dir"
            own, theirs = (", ".join(f"{name} {facts.get(name)}" for name in other) for facts in (self.record, before))
            raise TrainingError(Fault("E804", "the folder holds a run of other data or settings", fix, own, theirs,
                                      self.folder))  # fmt: skip
        self._refuse_another_split(split)
        self._refuse_other_settings()
        for name in ROUND:
            if before.get(name) != self.record[name]:
                message = "%s was %s and is %s: training goes on, but no longer bit for bit"
                logger.warning(message, name, before.get(name), self.record[name])
        self.ended = before.get("finished") is not None
        self.record |= {"started": before["started"], "resumed": [*before.get("resumed", []), _utc()]}

    def _refuse_another_split(self, split: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """The same cases can be dealt otherwise: the weights would be scored on what they were trained on."""
        path = self.folder / "split.json"
        held = files.read_json(path) if path.exists() else split
        other = [subset for subset, items in split.items() if held.get(subset) != items]
        if other:
            fix = "resume with the split_seed, held_out and fold of the run, or choose another output_dir"
            raise TrainingError(Fault("E804", "the folder holds a run of another split", fix, "the same cases in each",
                                      f"others in {', '.join(other)}", path))  # fmt: skip

    def _refuse_other_settings(self) -> None:
        """Part of the run would have one setting, the rest the other, and its ``config.yaml`` name the other alone."""
        path = self.folder / "config.yaml"
        before, now = _binding(files.read_yaml(path)) if path.exists() else {}, _binding(_plain(self.config))
        other = sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
        if other:
            fix = "resume with the settings of the run, or choose another output_dir"
            expected, found = (
                ", ".join(f"{name}={_short(_apart(own[name], others[name]))}" for name in other[:3])
                for own, others in ((before, now), (now, before))
            )
            raise TrainingError(Fault("E804", f"the folder holds a run with other settings ({len(other)})", fix,
                                      expected, found, path))  # fmt: skip

    def _claim(self) -> None:
        held = [name for name in CONTENTS if (self.folder / name).exists()]
        hardly_begun = self.resume and set(held) <= FIRST and self._epochs_logged() < 2
        if held and not self.overwrite and not hardly_begun:
            resume = "" if self.resume else "pass resume=true to go on with it, or "  # then there is no checkpoint
            fix = f"choose another output_dir, or {resume}overwrite=true to remove it"
            raise DataError(Fault("E503", "the output folder already holds a run", fix, "an empty or new folder",
                                      ", ".join(held[:4]), self.folder))  # fmt: skip
        for name in held:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _epochs_logged(self) -> int:
        path = self.folder / "log.csv"
        return len(path.read_bytes().splitlines()) - 1 if path.exists() else 0

    def _begin_epoch(self, engine: Engine) -> None:
        if not self.opened:
            self._open()
        self.begun = time.monotonic()

    def _add_rate(self, engine: Engine) -> None:  # before schedulers take their step
        self.rates.append(float(engine.optimizer.param_groups[0]["lr"]))

    def _add_loss(self, engine: Engine) -> None:
        self.losses.append(float(engine.state.output[0][CommonKeys.LOSS]))

    def _note_validation(self, evaluator: Engine) -> None:
        self.validated = {name: float(value) for name, value in evaluator.state.metrics.items()}

    def _add_row(self, engine: Engine) -> None:
        rates = [group["lr"] for group in engine.optimizer.param_groups]
        row = {"epoch": engine.state.epoch, "iteration": engine.state.iteration,
               "loss": math.fsum(self.losses) / len(self.losses), "learning_rate": rates[0],
               "seconds": round(time.monotonic() - self.begun, 3)}  # fmt: skip
        # sorted: a run that went on has them in another order, and would have another checkpoint
        trained = {name: float(value) for name, value in sorted(engine.state.metrics.items())}
        self.rows.append(row | trained | self.validated)
        iteration_log.add_epoch(self.folder, engine.state.epoch, engine.state.iteration, self.losses, self.rates)
        self.losses, self.rates, self.validated = [], [], {}
        self._write_log()

    def _write_log(self) -> None:
        columns = list(dict.fromkeys(key for each in self.rows for key in each))
        files.write_csv(self.folder / "log.csv", self.rows, columns)

    def state_dict(self) -> dict[str, Any]:
        """The rows of epochs so far, and the losses and rates of one that is not complete."""
        return {"rows": [dict(row) for row in self.rows], "losses": list(self.losses), "rates": list(self.rates),
                "seconds": self._seconds()}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from these rows, losses and rates; newer rows are dropped."""
        self.rows, self.losses = [dict(row) for row in state["rows"]], list(state["losses"])
        self.rates = list(state.get("rates") or [math.nan] * len(self.losses))  # none in older checkpoints
        self.earlier = state.get("seconds", 0.0)
        iteration_log.drop_newer(self.folder, self.rows[-1]["iteration"] if self.rows else 0)
        if self.rows:
            self._write_log()
        else:
            (self.folder / "log.csv").unlink(missing_ok=True)

    def _finish(self, engine: Engine) -> None:
        if self.ended and not self.opened:  # nothing was left to do
            return
        self.record |= {"finished": _utc(), "wall_seconds": round(self._seconds(), 1)}
        files.write_json(self.folder / "record.json", self.record)

    def _seconds(self) -> float:
        """That the run took so far, without what was lost between a checkpoint and the end of its process."""
        return self.earlier + time.monotonic() - self.clock

    def _facts(self, engine: Engine, split: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        """What ``record.json`` says of a run that begins."""
        network = unwrapped(engine.network)
        digests = sorted(json.dumps(item["digest"]) for items in split.values() for item in items)
        return {
            "started": _utc(), "finished": None, "wall_seconds": None,
            **self.settings, "epochs": engine.state.max_epochs, "steps_an_epoch": engine.state.epoch_length,
            "cases": {subset: len(items) for subset, items in split.items()},
            "modality": _modality(self.cases),
            "data_fingerprint": hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest(),
            "network": type(network).__name__,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "device": _device(engine.state.device), "threads": torch.get_num_threads(),
            "versions": {"medseg": medseg.__version__, "monai": monai.__version__, "torch": torch.__version__,
                         "numpy": np.__version__, "python": platform.python_version()},
        }  # fmt: skip


def _utc() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _listed(item: Mapping[str, Any]) -> dict[str, Any]:
    image, label = item["image"], item.get("label") or item.get("reference")
    digests = {"image": _digests(image), "label": _digests(label) if label else None}
    return {"case": item["case"], "group": item["group"], "digest": digests}


def _digests(paths: str | Sequence[str]) -> list[str]:
    return [digest(path) for path in ([paths] if isinstance(paths, str) else paths)]


def _modality(cases: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the data set says its images are: a bundle for X-rays may have been fed CT."""
    return ", ".join(sorted({item.get("modality", "") for items in cases.values() for item in items} - {""}))


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _binding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run keeps for all its life, by id; handlers may change."""
    parts = {f"{name}::{key}": part for name, value in config.items() if isinstance(value, Mapping)
             for key, part in value.items() if key != "handlers"}  # fmt: skip
    whole = {name: value for name, value in config.items() if not isinstance(value, Mapping)} | parts
    return {name: value for name, value in whole.items() if name.partition("::")[0] not in FREE}


def _apart(value: Any, other: Any) -> Any:
    """`value`, of a table only what `other` has not."""
    if not isinstance(value, Mapping) or not isinstance(other, Mapping):
        return value
    return {key: _apart(part, other.get(key)) for key, part in value.items() if key not in other or part != other[key]}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _plain(value: Any) -> Any:
    """The configuration with nothing in it but what YAML writes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
