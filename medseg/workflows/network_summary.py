"""A network in figures: its groups of layers, its parameters, and the operations of one patch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from medseg.reports.description import Layers, NetworkSummary

FEWEST_ROWS = 6  # a network of fewer parts is shown with the parts of its largest one


def summarise_network(network: nn.Module, patch: torch.Tensor) -> NetworkSummary:
    """Send one patch (1, C, X, Y[, Z]) through a network, without a trace of it left, and count.

    The network's mode comes back afterwards; no weight changes.
    """
    from torch.utils.flop_counter import FlopCounterMode

    groups = dict(_groups(network))
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, given: Any, result: Any) -> None:
        shapes.setdefault(name, _shape(result))

    hooks = [module.register_forward_hook(functools.partial(note, name)) for name, module in groups.items()]
    training = network.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(patch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    order = [*shapes, *(name for name in groups if name not in shapes)]
    return NetworkSummary(
        name=type(network).__name__,
        groups=tuple(_rows(network, {name: groups[name] for name in order}, shapes)),
        parameters=sum(each.numel() for each in network.parameters()),
        trainable=sum(each.numel() for each in network.parameters() if each.requires_grad),
        operations=int(counter.get_total_flops()),
        patch=tuple(patch.shape[1:]),
    )


def _groups(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Parts with parameters by name: lists are opened, and the largest part while there are few."""
    groups = dict(network.named_children()) or {"": network}
    while True:
        lists = [name for name, part in groups.items() if isinstance(part, (nn.ModuleList, nn.ModuleDict))]
        large = sorted((name for name in groups if list(groups[name].children())), key=lambda n: -_count(groups[n]))
        chosen = lists[:1] or (large[:1] if len(groups) < FEWEST_ROWS else [])
        if not chosen:
            break
        opened = {f"{chosen[0]}.{name}": part for name, part in groups[chosen[0]].named_children()}
        groups = {k: v for name, part in groups.items()
                  for k, v in (opened.items() if name == chosen[0] else [(name, part)])}  # fmt: skip
    yield from ((name, part) for name, part in groups.items() if _count(part))


def _rows(network: nn.Module, groups: dict[str, nn.Module], shapes: dict[str, tuple[int, ...]]) -> Iterator[Layers]:
    """Each parameter counted once, in the first group that holds it; at last what no group holds."""
    seen: set[int] = set()
    for name, part in groups.items():
        fresh = [each for each in part.parameters() if id(each) not in seen]
        seen |= {id(each) for each in fresh}
        if fresh:
            yield Layers(name or "(all)", type(part).__name__, shapes.get(name, ()), sum(e.numel() for e in fresh))
    rest = [(name, each) for name, each in network.named_parameters() if id(each) not in seen]
    for name, each in rest:
        yield Layers(f"({name})", "Parameter", tuple(each.shape), each.numel())


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _shape(result: Any) -> tuple[int, ...]:
    """Of the first tensor, without the batch."""
    while isinstance(result, (list, tuple)) and result:
        result = result[0]
    return tuple(result.shape[1:]) if isinstance(result, torch.Tensor) else ()
