"""A finished run, opened to apply its network outside MONAI's engines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from medseg.errors import CheckpointError, Fault, UsageError
from medseg.geometry import Geometry
from medseg.handlers.checkpoint_loader import load_weights
from medseg.workflows.rebuilding import rebuilds_images

PARTS = ("configs/inference.yaml", "configs/train.yaml", "models/model.pt")

Item = Mapping[str, Any]


@dataclass(frozen=True)
class TrainedRun:
    """The bundle that a run left behind.

    Attributes:
        folder: the bundle.
        network: with its weights, in evaluation, on `device`.
        prepare: the transforms from paths to ``image``, a `MetaTensor` (C, X, Y[, Z]).
        inferer: how an image is given to the network.
        rebuilds: whether it was trained to rebuild images.
    """

    folder: Path
    network: torch.nn.Module
    prepare: Callable[[Item], Item]
    inferer: Callable[..., Any]
    device: torch.device
    rebuilds: bool

    def images(self, items: Iterable[Item]) -> Iterator[tuple[Item, torch.Tensor]]:
        """Each item with its image as the network is fed it, (C, X, Y[, Z])."""
        for item in items:
            yield item, self.prepare(dict(item))["image"]

    @torch.no_grad()
    def predict(self, image: torch.Tensor) -> torch.Tensor:
        """What the network makes of one image (C, X, Y[, Z]); on the CPU."""
        return self.inferer(image.as_tensor()[None].to(self.device), self.network)[0].cpu()  # type: ignore[attr-defined]

    def refuse_masks(self) -> None:
        """Nothing, if the run rebuilds images; UsageError E903 otherwise."""
        if not self.rebuilds:
            fix = "name a run of a method that rebuilds images, as pretrain_autoencoder of liver_ct"
            found = f"a {type(self.network).__name__} that gives masks"
            raise UsageError(Fault("E903", "this run rebuilds no images", fix, found=found, file=self.folder))


def open_run(run: str | Path) -> TrainedRun:
    """Open a run folder, or the bundle in it.

    Raises:
        CheckpointError: E101, there is no finished run; E105, E802, damaged weights or those of another network.
    """
    folder = next((f for f in (Path(run) / "bundle", Path(run)) if all((f / name).is_file() for name in PARTS)), None)
    if folder is None:
        fix = "name a run folder whose training has finished; an unfinished one goes on with resume=true"
        raise CheckpointError(
            Fault("E101", "no trained network in this folder", fix, "bundle/models/model.pt", file=run)
        )
    train, inference = (ConfigParser(ConfigParser.load_config_file(str(folder / name))) for name in PARTS[1::-1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="parsing config_file .*")
        inference.get_parsed_content("imports", default=None)
        network, prepare, inferer, device = (
            inference.get_parsed_content(name) for name in ("network_def", "preprocessing", "inferer", "device")
        )
    load_weights(folder / PARTS[2], network)
    return TrainedRun(folder, network.to(device).eval(), prepare, inferer, device, rebuilds_images(train.config))


def grid_of(image: torch.Tensor) -> Geometry:
    """Where an image (C, X, Y[, Z]), as a network is fed it, lies."""
    shape = tuple(image.shape[1:])
    affine = np.asarray(image.affine.cpu(), dtype=np.float64)  # type: ignore[attr-defined]
    unit = image.meta.get("unit", "mm")  # type: ignore[attr-defined]
    if len(shape) == 3:
        return Geometry(affine, shape, unit)
    full = np.eye(4)
    full[:2, :2], full[:2, 3] = affine[:2, :2], affine[:2, -1]
    return Geometry(full, (*shape, 1), unit)
