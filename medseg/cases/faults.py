"""Many faults in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medseg.errors import DataError, Fault

SHOWN = 20


def refuse(faults: Sequence[Fault]) -> None:
    """Raise a `DataError` of the first 20 faults, and how many more there are, where there are any."""
    if faults:
        rest = [Fault("E600", f"{len(faults) - SHOWN} more faults", "mend these first")] if len(faults) > SHOWN else []
        raise DataError(*faults[:SHOWN], *rest)


def summed_up(faults: Iterable[Fault]) -> list[str]:
    """A line a kind of fault: the first, and how many more there are."""
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.code, []).append(fault)
    return [
        str(members[0]) + (f" (and {len(members) - 1} more of this kind)" if len(members) > 1 else "")
        for members in kinds.values()
    ]
