"""Values that a user sets, refused in one line where they make no sense."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from typing import Any

from medseg.errors import Fault, UsageError


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """`value`, if it is a whole number of at least `least`; UsageError E903 otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refused(name, f"a whole number, {least} or more", value, f"{name} to {least} or more")
    return value


def switch(name: str, value: Any) -> bool:
    """`value`, if it is True or False (a command line's "no" would count as true); UsageError E903 otherwise."""
    if not isinstance(value, bool):
        raise _refused(name, "true or false", value, f"{name} to true or false")
    return value


def choice(name: str, value: Any, known: Collection[str]) -> str:
    """`value`, if it is one of `known`; UsageError E903 otherwise."""
    if value not in known:
        raise _refused(name, f"one of {', '.join(known)}", value, f"{name} to one of those")
    return str(value)


def number(name: str, value: Any, above: float, below: float) -> float:
    """`value`, if it is a number with above < value < below; UsageError E903 otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not above < value < below:
        limits = f"above {above:g}" if below == float("inf") else f"above {above:g} and below {below:g}"
        raise _refused(name, f"a number {limits}", value, f"another {name}")
    return value


def with_extra(value: Any, package: str, extra: str) -> Any:
    """`value`, if it is None or `package` is installed; UsageError E705, naming the extra, otherwise."""
    if value is not None and importlib.util.find_spec(package) is None:
        raise UsageError(
            Fault("E705", f"this setting needs {package}", f"pip install medseg[{extra}]", found=repr(value))
        )
    return value


def _refused(name: str, expected: str, found: Any, example: str) -> UsageError:
    return UsageError(Fault("E903", f"the setting {name} has no such value", f"set {example}", expected, repr(found)))
