"""Where bundles lie, and which files make up a workflow. Imports neither torch nor MONAI."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable
from pathlib import Path

from medseg.errors import DataError, Fault, UsageError

WORKFLOWS = ("train", "evaluate", "infer")
NOT_METHODS = ("train", "evaluate", "inference", "multi_gpu_train", "study")


def bundles_folder() -> Path:
    """``bundles/`` beside ``setup.cfg`` in a checkout, else the copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "bundles"
    return checkout if (package.parent / "setup.cfg").is_file() and checkout.is_dir() else package / "bundles"


def bundle_names() -> list[str]:
    """Names of the bundles that come with medseg."""
    return sorted(path.parent.parent.name for path in bundles_folder().glob("*/configs/train.yaml"))


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle: one of ours by name, or any folder that holds ``configs/train.yaml``.

    Raises:
        UsageError: there is no such bundle.
    """
    own = bundles_folder() / str(name)
    for folder in (Path(name), own):
        if (folder / "configs" / "train.yaml").is_file():
            return folder
    known = bundle_names()
    fix = f"choose one of {', '.join(known)}, or a folder with configs/train.yaml{suggestion(str(name), known)}"
    raise UsageError(Fault("E901", "no such bundle", fix, found=str(name)))


def methods(bundle: Path) -> list[str]:
    """Methods beside the bundle's default: the deltas in ``configs/`` that are no standard file."""
    return sorted(p.stem for p in (bundle / "configs").glob("*.yaml") if p.stem not in NOT_METHODS)


def config_files(bundle: Path, workflow: str, method: str | None = None) -> list[Path]:
    """The configuration files that a workflow merges, in order.

    Args:
        workflow: ``train``, ``evaluate`` or ``infer``.
        method: one of `methods`; None for the bundle's default.

    Raises:
        UsageError: unknown workflow or method.
    """
    if workflow not in WORKFLOWS:
        fix = f"choose one of {', '.join(WORKFLOWS)}{suggestion(workflow, WORKFLOWS)}"
        raise UsageError(Fault("E901", "no such workflow", fix, found=workflow))
    if method is not None and method not in methods(bundle):
        known = methods(bundle)
        others = f"choose one of {', '.join(known)}, or " if known else ""
        fix = f"{others}leave --method out for the bundle's default{suggestion(method, known)}"
        raise UsageError(Fault("E901", "no such method in this bundle", fix, found=method, file=bundle / "configs"))
    if method is not None and workflow == "infer":
        fix = f"apply the bundle that the method's run left: medseg run <run>/bundle infer (not {bundle.name})"
        raise UsageError(Fault("E901", "a method has no inference configuration of its own", fix, found=method))
    base = ["inference"] if workflow == "infer" else ["train"]
    delta = ["evaluate"] if workflow == "evaluate" else []
    names = base + ([method] if method else []) + delta
    return [bundle / "configs" / f"{name}.yaml" for name in names]


def copy_bundle(name: str, destination: str | Path) -> Path:
    """Copy a bundle to a new folder, which then runs by itself (``python -m monai.bundle run``).

    Raises:
        UsageError: unknown bundle.
        DataError: E503, the destination exists and is not empty.
    """
    target = Path(destination)
    source = find_bundle(name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fix = "choose a new folder"
        raise DataError(Fault("E503", "the destination is not empty", fix, file=target))
    shutil.copytree(
        source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "runs", "predictions")
    )
    return target


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
