"""What transforms are made of: a pickle names their classes and functions, whatever those do by now."""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

LIBRARIES = {"monai", "torch", *sys.stdlib_module_names}  # known by their versions
INSTALLED = {"site-packages", "dist-packages"}
PLAIN = (int, float, str)


def sources(steps: Sequence[Any]) -> dict[str, str]:
    """The source of the classes and functions that a pickle of `steps` names, of their bases, and of what they name.

    What they name is followed where it is not another installed package's: functions, classes, and plain constants by
    their values. MONAI, torch and the standard library are left out. Bytecode stands beside the source, which may lack
    (built in, interactive) or may have changed since it was imported.

    Returns:
        source and bytecode, or the value of a constant, by qualified name, in the order of names.
    """
    pickler = _Noting(io.BytesIO(), pickle.HIGHEST_PROTOCOL)
    pickler.dump(steps)
    waiting, found = pickler.noted, dict[str, str]()
    while waiting:
        part = waiting.pop()
        name = f"{part.__module__}.{part.__qualname__}"
        if name in found or _package(part) in LIBRARIES:
            continue
        functions = _functions(part)
        found[name] = _source(part) + "".join(map(_bytecode, functions))
        waiting += part.__mro__[1:] if isinstance(part, type) else ()
        for key, value in (pair for function in functions for pair in _globals(function)):
            if isinstance(value, PLAIN):
                found[key] = repr(value)
            elif isinstance(value, (type, FunctionType)) and _is_followed(value, part):
                waiting.append(value)
    return dict(sorted(found.items()))


class _Noting(pickle.Pickler):
    """Notes the classes and functions that it comes by, however deep."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.noted: list[Any] = []

    def reducer_override(self, value: Any) -> Any:
        """Pickle's own hook: leaves the pickling as it is."""
        if isinstance(value, (type, FunctionType)):
            self.noted.append(value)
        return NotImplemented


def _package(part: Any) -> str:
    return str(part.__name__ if isinstance(part, ModuleType) else part.__module__).partition(".")[0]


def _is_followed(part: Any, whence: Any) -> bool:
    """Whether it is of the same package, or of none that is installed."""
    package = _package(part)
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    is_installed = package in LIBRARIES or not INSTALLED.isdisjoint(Path(file).parts)
    return package == _package(whence) or not is_installed


def _source(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return ""


def _bytecode(function: FunctionType) -> str:
    codes = [[code.co_code.hex(), *code.co_names, *_plain(code.co_consts)] for code in _codes(function.__code__)]
    return repr(codes)


def _plain(constants: Sequence[Any]) -> list[Any]:
    return [value for value in constants if isinstance(value, PLAIN)]  # a set's order is another in every process


def _functions(part: Any) -> list[FunctionType]:
    """A function itself, or the methods of a class."""
    values = map(_bare, vars(part).values()) if isinstance(part, type) else [part]
    return [inspect.unwrap(value) for value in values if isinstance(value, FunctionType)]


def _bare(value: Any) -> Any:
    """The function in Python's own decorators."""
    if isinstance(value, (staticmethod, classmethod, functools._lru_cache_wrapper)):
        return value.__wrapped__
    return value.fget if isinstance(value, property) else value


def _globals(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function names in its module, or in another (``helpers.scale``)."""
    names = {name for code in _codes(function.__code__) for name in code.co_names if not name.startswith("__")}
    here = function.__globals__
    modules = [here[name] for name in names & here.keys() if isinstance(here[name], ModuleType)]
    # a package has its own modules as attributes once anybody has imported them, which must not count
    modules = [module for module in modules if module.__name__.rpartition(".")[0] != here.get("__name__")]
    for space in [here, *(vars(module) for module in modules if _is_followed(module, function))]:
        for name in names & space.keys():
            yield f"{space.get('__name__')}.{name}", _bare(space[name])


def _codes(code: CodeType) -> list[CodeType]:
    """A function's code, and that of the functions within it."""
    inner = [value for value in code.co_consts if isinstance(value, CodeType)]
    return [code, *(part for value in inner for part in _codes(value))]
