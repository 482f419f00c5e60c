"""`medseg describe`: what a bundle is and does, on one page, before anything is trained."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from tqdm import tqdm

from medseg import files as writing
from medseg.cases.phantoms import tasks, write_phantom
from medseg.errors import DataError, Fault, UsageError, find
from medseg.labels import Labels
from medseg.reports.describe_page import PAGE, write_description
from medseg.reports.description import Description
from medseg.workflows.bundles import NOT_METHODS
from medseg.workflows.inference_time import time_inference
from medseg.workflows.network_summary import summarise_network
from medseg.workflows.preflight import merge, preflight, refuse_unknown_keys
from medseg.workflows.run import checked_path
from medseg.workflows.transform_steps import IMAGE, LABEL, trace

PHANTOMS = 20  # training cases
TIMED_CASES, SHOWN_PATCHES = 3, 16
QUIET = (".*nvimgcodec.*", "parsing config_file .*", ".*`lr_scheduler.step\\(\\)`.*")
SAID = {"loss": "train::loss", "optimizer": "train::optimizer", "schedule": "train::scheduler",
        "inference": "validate::inferer"}  # fmt: skip
LONGEST_SCHEDULE = 200_000  # steps
POINTS = 1000  # of its curve
PLAIN = (str, int, float, bool, type(None))


def describe_bundle(root: Path, files: Sequence[Path], settings: Mapping[str, Any], out: str | Path) -> list[str]:
    """Write ``describe.html`` and ``figures/*.png`` into a folder and return the lines that a terminal shows.

    The page says what the task is, what each transform does to one case, what the network sees, the network's layers,
    parameters and operations, how long it takes to predict a case, and what training would do. Nothing is trained: the
    weights are random.

    Args:
        root: the bundle's folder.
        files: its configurations, as `medseg.workflows.bundles.config_files` lists those of training.
        settings: what to change in them, as `medseg.workflows.run.run_bundle` takes it. Without a ``dataset_dir`` the
            cases are phantoms.
        out: a new or empty folder, or one with an earlier description.

    Raises:
        UsageError: E901 or E902, settings or configurations that are wrong; no phantoms of this task.
        DataError: E503, something stands where the page would go; what is wrong with the data.
    """
    refuse_unknown_keys(files, settings)
    folder = _free_folder(Path(out), settings.get("dataset_dir"))
    with tempfile.TemporaryDirectory(prefix="medseg-") as temporary, _quiet():
        given = {"bundle_root": checked_path("bundle", root)} | dict(settings)
        given |= {"output_dir": str(Path(temporary) / "run")}
        data = str(given.get("dataset_dir") or "")
        if not data:
            given |= {"dataset_dir": str(_phantoms(root, Path(temporary))), "cache_dir": str(Path(temporary) / "cache")}
        parser = merge(files, given | {"workers": 0})
        preflight(parser)
        try:
            described = _describe(parser, root, _method(files), data)
        except Exception as error:  # MONAI wraps what its components raise
            ours = find(error)
            if ours is None:
                raise
            raise ours from None
    return [*_lines(described), str(write_description(described, folder))]


def _free_folder(folder: Path, data: str | None) -> Path:
    fix = "say where the page should go: --out <another folder>"
    if folder.exists() and not folder.is_dir():
        raise DataError(Fault("E503", "the page cannot go into a file", fix, "a folder", "a file", folder))
    if data is not None and Path(data).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise DataError(Fault("E503", "the page would lie in a folder that is read", fix, found=str(folder), file=data))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PAGE).is_file():
        raise DataError(Fault("E503", "the folder holds something else", fix, "an empty or new folder", file=folder))
    writing.try_folder(folder)
    return folder


def _method(files: Sequence[Path]) -> str:
    """The name of the delta that is no standard configuration."""
    return next((path.stem for path in files if path.stem not in NOT_METHODS), "")


def _phantoms(root: Path, temporary: Path) -> Path:
    if root.name not in tasks():
        fix = "say where the data are: --data <folder>"
        raise UsageError(Fault("E901", "there are no made-up cases of this bundle", fix, ", ".join(tasks()), root.name))
    return write_phantom(root.name, temporary / "phantoms", PHANTOMS)


def _describe(parser: ConfigParser, root: Path, method: str, data: str) -> Description:
    with tqdm(total=5, desc="describe", unit="part", disable=None, dynamic_ncols=True) as bar:
        parser.get_parsed_content("imports", default=None)
        cases, dataset = parser.get_parsed_content("cases"), parser.get_parsed_content("train::dataset")
        bar.update()
        steps = tuple(trace(parser, cases["train"][0], dataset))
        bar.update()
        loader = parser.get_parsed_content("train::dataloader")
        patches = tuple(itertools.islice(_patches(loader), SHOWN_PATCHES))
        bar.update()
        network, device = parser.get_parsed_content("network"), parser.get_parsed_content("device")
        patch = torch.zeros(1, *patches[0][0].shape, device=device)
        summary = summarise_network(network, patch)
        bar.update()
        timed = [*cases["validate"], *cases["train"]][:TIMED_CASES]
        ids = ("validate::inferer", "train::inferer", "validate::preprocessing")
        whole, window, prepare = (parser.get_parsed_content(identity) for identity in ids)
        seconds = time_inference(network, whole, window, prepare, timed, patch, device)
        bar.update()
    metadata = root / "configs" / "metadata.json"
    return Description(
        bundle=root.name,
        method=method,
        metadata=writing.read_json(metadata) if metadata.is_file() else {},
        data=data,
        case=str(cases["train"][0].get("case", "")),
        sizes={name: len(members) for name, members in cases.items()},
        labels=Labels(parser.get_parsed_content("labels")),
        steps=steps,
        patches=patches,
        batch_size=loader.batch_size or 1,
        network=summary,
        time=seconds,
        words={name: _in_words(parser, identity) for name, identity in SAID.items() if _has(parser, identity)},
        schedules=_schedules(parser),
    )


def _patches(batches: Iterable[Mapping[str, torch.Tensor]]) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
    """Image (C, X, Y[, Z]) and label (X, Y[, Z]) of each item of each batch."""
    for batch in batches:
        images, labels = (_as_tensor(batch[key]).cpu().numpy() for key in (IMAGE, LABEL))
        yield from zip(images, labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0], strict=True)


def _schedules(parser: ConfigParser) -> dict[str, list[tuple[int, float]]]:
    """Scheduler to (step, learning rate), from stepping it as training would; of none that needs scores to step."""
    named = parser["train::trainer"].get("schedulers") or {} if _has(parser, "train::trainer") else {}
    steps = int(parser.get_parsed_content("train::steps")) if named and _has(parser, "train::steps") else 0
    found = {}
    for name in named if 0 < steps <= LONGEST_SCHEDULE else ():
        scheduler = parser.get_parsed_content(f"train::trainer::schedulers::{name}")
        if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) and not isinstance(
            scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau
        ):
            every = max(1, steps // POINTS)
            rates = []
            for step in range(steps):
                if step % every == 0 or step == steps - 1:
                    rates.append((step, float(scheduler.get_last_lr()[0])))
                scheduler.step()
            found[str(name)] = rates
    return found


def _in_words(parser: ConfigParser, identity: str) -> str:
    """``DiceCELoss: softmax True, batch True``: a class with its plain arguments, and after it those of its parts."""
    config = parser[identity]
    if not isinstance(config, Mapping) or "_target_" not in config:
        return str(config)
    plain, inner = [], []
    for name, value in config.items():
        if name.startswith("_"):
            continue
        if isinstance(value, Mapping) and "_target_" in value:
            inner.append(_in_words(parser, f"{identity}::{name}"))
            continue
        resolved = (
            parser.get_parsed_content(f"{identity}::{name}") if _is_plain(parser, f"{identity}::{name}") else None
        )
        if resolved is not None:
            plain.append(f"{name} {resolved}")
    kind = str(config["_target_"]).rpartition(".")[2]
    return "; ".join([kind + (f": {', '.join(plain)}" if plain else ""), *inner])


def _is_plain(parser: ConfigParser, identity: str) -> bool:
    """Whether an argument is text, a number, or a list of such: not the parameters of a network."""
    value = parser.get_parsed_content(identity)
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(each, PLAIN) for each in values)


def _has(parser: ConfigParser, identity: str) -> bool:
    node: Any = parser.config
    for key in identity.split("::"):
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True


def _as_tensor(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


def _lines(described: Description) -> list[str]:
    cases = f"cases of {described.data}" if described.data else "made-up cases (--data names a data folder)"
    network, predicted = described.network, statistics.median(seconds for _, seconds, _ in described.time.cases)
    return [
        f"{described.bundle}: {cases}; the weights are random, nothing was trained",
        f"{network.name}: {network.parameters:,} parameters, {network.operations / 1e9:.3g} G operations a patch",
        f"{predicted:.3g} s a case, {described.time.window:.3g} s a patch ({described.time.device})",
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in QUIET:
            warnings.filterwarnings("ignore", message=message)
        yield
