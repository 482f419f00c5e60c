"""What is said of a bundle before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry
from medseg.labels import Labels


@dataclass(frozen=True, eq=False)
class Step:
    """A case after one transform.

    Attributes:
        name: of the transform's class.
        arguments: those that differ from its defaults, as text.
        is_random: whether it draws.
        changed: whether it changed image or label; a random one, in any of a few draws.
        image: (C, X, Y, Z), Z is 1 for a slice.
        label: (X, Y, Z), or None before it is read.
        grid: of both.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    is_random: bool
    changed: bool
    image: npt.NDArray
    label: npt.NDArray[np.integer] | None
    grid: Geometry


@dataclass(frozen=True)
class Layers:
    """A group of layers.

    Attributes:
        name: its place in the network; in brackets where it is a tensor that no group holds.
        kind: the name of its class.
        shape: of its output for one patch, channels first; empty where it gives no tensor.
        parameters: of its own; those shared with an earlier group count there.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class NetworkSummary:
    """A network in figures.

    Attributes:
        name: of its class.
        groups: in the order in which the patch meets them; their parameters add up to `parameters`.
        parameters, trainable: numbers in all its tensors, and in those that training changes.
        operations: multiplications and additions of one patch, as `torch.utils.flop_counter` counts them.
        patch: shape (C, X, Y[, Z]) of the patch.
    """

    name: str
    groups: tuple[Layers, ...]
    parameters: int
    trainable: int
    operations: int
    patch: tuple[int, ...]


@dataclass(frozen=True)
class InferenceTime:
    """Seconds, after a warm-up.

    Attributes:
        cases: for each case, to read and prepare it, to predict it, and the sizes (C, X, Y[, Z]) of what was predicted.
        window: of one patch alone, the median.
        device: its name, and the threads where it is the CPU.
    """

    cases: tuple[tuple[float, float, tuple[int, ...]], ...]
    window: float
    device: str


@dataclass(frozen=True, eq=False)
class Description:
    """A bundle before training.

    Attributes:
        bundle, method: names; the method's is empty for the bundle's own.
        metadata: of ``configs/metadata.json``.
        data: the folder of cases; empty where they were made up.
        case: the one whose steps are shown.
        sizes: how many cases each subset has.
        labels: names and colours.
        steps: the case after each transform.
        patches: image (C, X, Y[, Z]) and label (X, Y[, Z]) as training takes them, in their order.
        batch_size: how many patches make a batch.
        network: its figures.
        time: of inference.
        words: what training does: loss, optimiser and so on, each in words.
        schedules: scheduler to its (step, learning rate).
    """

    bundle: str
    method: str
    metadata: Mapping[str, Any]
    data: str
    case: str
    sizes: Mapping[str, int]
    labels: Labels
    steps: tuple[Step, ...]
    patches: tuple[tuple[npt.NDArray, npt.NDArray[np.integer]], ...]
    batch_size: int
    network: NetworkSummary
    time: InferenceTime
    words: Mapping[str, str]
    schedules: Mapping[str, list[tuple[int, float]]]
