"""What a process holds, and has held at most, as the kernel counts it.

`resource.getrusage` would not do for a child: its peak starts at what the process that began it held.
"""

from __future__ import annotations

from pathlib import Path


def status_kib(name: str) -> int:
    """``VmRSS``, what this process holds now, or ``VmHWM``, the most since it began or since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    """Let ``VmHWM`` start anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
