"""`medseg run`: check a bundle's configuration, then do what `python -m monai.bundle run` does."""

from __future__ import annotations

import ast
import logging
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import Fault, UsageError

WORDS = {"true": True, "false": False, "null": None, "none": None}
MARKS = ("@", "$", "%")


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """``key=value`` words as a dictionary; values are Python literals, ``true``, ``false``, ``null``, tables and
    lists as YAML writes them (``{background: 0, liver: 1}``, ``[dice, hd95]``) or text.

    Raises:
        UsageError: a word without ``=``.
    """
    overrides: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            fix = "write key=value, for example epochs=20"
            raise UsageError(Fault("E901", "not an override", fix, "key=value", argument))
        overrides[key] = _value(value)
    return overrides


def command_line(files: Sequence[Path], overrides: Mapping[str, Any]) -> str:
    """The exact `python -m monai.bundle run` command that does the same."""
    return " ".join(_quoted(word) for word in command_words(files, overrides))


def command_words(files: Sequence[Path], overrides: Mapping[str, Any]) -> list[str]:
    """The words of that command, without a shell's quotes."""
    paths = [str(path) for path in files]
    config = paths[0] if len(paths) == 1 else repr(paths)
    words = ["python", "-m", "monai.bundle", "run", "--config_file", config]
    for key, value in overrides.items():
        words += [f"--{key}", "$None" if value is None else str(value)]
    return words


def _quoted(word: str) -> str:
    """For a shell; a list of files, which holds single quotes, in double ones."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def run_bundle(files: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Check keys, targets, references and arguments, then run; errors come as MONAI wraps them."""
    import monai.bundle

    from medseg.workflows.preflight import merge, preflight, refuse_unknown_keys

    refuse_unknown_keys(files, overrides)
    preflight(merge(files, overrides))
    logging.getLogger("monai.bundle.workflows").setLevel(logging.WARNING)
    given = {key: "$None" if value is None else value for key, value in overrides.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="parsing config_file .*")
        monai.bundle.run(config_file=[str(path) for path in files], **given)


def checked_path(name: str, path: str | Path) -> str:
    """An absolute path for an override.

    Raises:
        UsageError: MONAI would read a part of it as a reference (``#`` anywhere; ``@``, ``$`` or ``%`` in front).
    """
    absolute = str(Path(path).absolute())
    if "#" in absolute or str(path).startswith(MARKS):
        fix = "rename the folder, or go there through a link"
        raise UsageError(
            Fault("E901", f"{name}: MONAI reads # @ $ % in configurations as references", fix, found=str(path))
        )
    return absolute


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return _collection(text) or text


def _collection(text: str) -> dict[str, Any] | list[Any] | None:
    """``{background: 0, liver: 1}`` or ``[dice, hd95]`` as YAML writes them; None for anything else."""
    if text[:1] + text[-1:] not in ("{}", "[]"):
        return None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, (dict, list)) else None
