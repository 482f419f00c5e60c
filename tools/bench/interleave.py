"""Ratios of commands, interleaved in one run so that a noisy neighbour hits all alike."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence


def compare(commands: Mapping[str, Sequence[str]], reference: str, rounds: int = 5) -> dict[str, float]:
    """Print CPU and wall seconds of each command and its ratio to `reference`; return the ratios of CPU time.

    Every command runs once a round, in an order that alternates; medians are taken over rounds, ratios within them.
    """
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    wall: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first round warms the disk up
        for name in list(commands) if number % 2 else list(commands)[::-1]:
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(commands[name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    ratios = {
        name: statistics.median(a / b for a, b in zip(cpu[name], cpu[reference], strict=True)) for name in commands
    }
    for name in commands:
        by_wall = statistics.median(a / b for a, b in zip(wall[name], wall[reference], strict=True))
        print(f"{name:42s} CPU {statistics.median(cpu[name]):6.2f} s  wall {statistics.median(wall[name]):6.2f} s"
              f"  ratio CPU {ratios[name]:.3f}  wall {by_wall:.3f}")  # fmt: skip
    return ratios
