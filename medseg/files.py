"""The one atomic writer that everything on disk goes through: a temporary file, fsync, rename, digest."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import DataError, Fault, MedsegError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # full-width too


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving without an error it becomes `path`, whole.

    A reader sees the old file or the new one, never a part of one, also when the process is killed.

    Raises:
        MedsegError: E701, when the disk is full or the folder cannot be written. The old file stays as it was.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        yield Path(temporary)
        _sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def write_in_turn(path: str | Path, previous: str | Path, content: bytes) -> Path:
    """Write `content` atomically; what `path` held until then is `previous`, whole, and gives way to nothing less."""
    path, previous = Path(path), Path(previous)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
        _sync(temporary)  # on the disk before the one that was there before gives way
        if path.exists():
            with atomic(previous) as link:
                link.unlink()
                try:
                    os.link(path, link)
                except OSError:  # a file system without hard links
                    shutil.copyfile(path, link)
    return path


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content` atomically and return the path."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, content: str) -> Path:
    """Write UTF-8 text atomically and return the path."""
    return write_bytes(path, content.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> Path:
    """Write JSON atomically, keys in their own order, NaN refused (it is not JSON)."""
    return write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object that a file of a run holds.

    Raises:
        DataError: E101 no such file, E105 a damaged one or one that holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(Fault("E101", "no such file", "check the path", file=path)) from error
    except (OSError, ValueError) as error:
        raise DataError(Fault("E105", f"the file is damaged ({error})", "copy it again", "JSON", file=path)) from error
    if not isinstance(content, dict):
        fix = "copy the run's own file here"
        raise DataError(Fault("E105", "not what a run writes", fix, "a JSON object", type(content).__name__, path))
    return content


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds, every key of a mapping once.

    Raises:
        DataError: E101 no such file; E105 one that is not YAML, or names a key twice (YAML readers take the last one).
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _OnceEach)
    except FileNotFoundError as error:
        raise DataError(Fault("E101", "no such file", "check the path", file=path)) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(Fault("E105", f"cannot be read ({reason})", "correct the file", "YAML", file=path)) from error


class _OnceEach(yaml.SafeLoader):
    """YAML in which a key that stands there twice is an error; PyYAML takes the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each of its keys once."""
        keys = [key.value for key, _ in node.value]
        twice = next((key for key, _ in reversed(node.value) if keys.count(key.value) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"'{twice.value}' stands there twice", twice.start_mark)
        return dict(super().construct_mapping(node, deep))


def remove_leftovers(folder: str | Path) -> None:
    """Remove what a killed process left of files it was writing in `folder`."""
    for path in Path(folder).glob(".*.tmp"):
        path.unlink(missing_ok=True)


def try_folder(folder: str | Path) -> None:
    """Find out whether files can be written into a folder, before the work whose results go there; leaves nothing.

    Raises:
        MedsegError: E701, they cannot.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        with suppress(OSError):
            for place in made:
                place.rmdir()


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    """Write rows as CSV atomically; text that a spreadsheet would run as a formula is quoted with ``'``."""
    names = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    return write_text(path, _as_csv(rows, names))


def extend_csv(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Path:
    """Add rows to the end of a CSV, or begin one; atomically, so that no reader sees a part of them."""
    path = Path(path)
    before = path.read_bytes() if path.exists() else b""
    return write_bytes(path, before + _as_csv(rows, columns, with_head=not before).encode("utf-8"))


def digest(path: str | Path) -> str:
    """BLAKE2b-128 of a file's content, in hex. Remembered within the process while the file stays the same.

    A copy that keeps time and size gives itself away by its inode or by the time that the system alone sets.
    """
    status = os.stat(path)
    times = status.st_mtime_ns, status.st_ctime_ns
    return _digest(os.path.abspath(path), status.st_size, status.st_ino, times)


@functools.lru_cache(maxsize=100_000)
def _digest(path: str, size: int, inode: int, times: tuple[int, int]) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _as_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str], with_head: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if with_head:
        writer.writerow({name: _cell(name) for name in names})
    writer.writerows({name: _cell(row.get(name, "")) for name in names} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    quote = "'" if _is_formula(value) else ""
    return quote + value.replace("\r\n", "\n").replace("\r", "\n")  # csv does not quote a lone \r before Python 3.13


def unquoted(cell: str) -> str:
    """A cell as it was before `write_csv` put ``'`` before what a spreadsheet would run as a formula."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(value: str) -> bool:
    return any(text.startswith(FORMULA_STARTS) for text in (value, value.lstrip())) and not _is_number(value)


def _unwritable(path: Path, error: OSError) -> MedsegError:
    fix = "free some space, or choose a folder that you may write to; what stood there before is unchanged"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        fix = "choose another folder: there is a file of this name, or of one above it"
    return MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=path))


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _sync(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
