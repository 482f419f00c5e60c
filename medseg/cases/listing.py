"""What lies in a data folder: every file once, in natural order; junk and copies are left out and remembered."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from medseg.errors import DataError, Fault
from medseg.volumes import is_volume

JUNK_FOLDERS = ("__macosx",)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".7z", ".rar")
LEFT_BY_ARCHIVE = "what an archive program left"
HIDDEN = "a hidden file"
LINKED_FOLDER = "a link to a folder, which is not followed"
COMPARED = 20  # files of a folder whose content is compared before it is called a copy


@dataclass(frozen=True)
class Listing:
    """The files below a folder.

    Attributes:
        root: the folder.
        folders: each folder with files (relative to `root`) and its file names, both in natural order.
        links: the files (relative to `root`) that are symbolic links.
        ignored: paths (relative to `root`) that belong to no case, and why. A layout adds what it leaves alone.
    """

    root: Path
    folders: dict[Path, tuple[str, ...]]
    links: frozenset[Path] = frozenset()
    ignored: dict[Path, str] = field(default_factory=dict)

    def named(self, *names: str) -> list[Path]:
        """Folders whose last parts are `names`, in any case, with files in or below them; the shallowest first."""
        wanted = tuple(name.lower() for name in names)
        return [folder for folder in self._by_name.get(wanted[-1], ()) if _tail(folder, len(wanted)) == wanted]

    def beside(self, folder: Path, name: str) -> Path | None:
        """The folder `name`, in any case, that lies where `folder` lies; None where there is none."""
        return next((other for other in self._by_name.get(name.lower(), ()) if other.parent == folder.parent), None)

    def volumes(self, folder: Path | None) -> dict[str, Path]:
        """File name to full path of the volumes directly in a folder; none where there is no folder."""
        names = () if folder is None else self.folders.get(folder, ())
        return {} if folder is None else {name: self.root / folder / name for name in names if is_volume(name)}

    def files(self, pattern: str) -> list[Path]:
        """Full paths of all files whose name matches a regular expression from end to end, in any case."""
        matcher = re.compile(pattern, re.IGNORECASE)
        return [self.root / folder / name for folder, names in self.folders.items() for name in names
                if matcher.fullmatch(name)]  # fmt: skip

    def archives(self) -> list[Path]:
        """Archives (relative to `root`), which nothing here opens."""
        return [folder / name for folder, names in self.folders.items() for name in names
                if name.lower().endswith(ARCHIVES)]  # fmt: skip

    def inside(self, folder: Path, name: str) -> Path | None:
        """The full path of what a table in `folder` (relative to `root`) calls `name`.

        None where it leaves the data folder: an absolute path of elsewhere, one with ``..``, or a link that leads out.
        """
        given = PurePath(name)
        if ".." in given.parts or not given.parts or "\0" in name:
            return None
        path = self._below_root(given) if given.is_absolute() else folder / given
        if path is None:
            return None
        if self._lists(path) and path not in self.links:
            return self.root / path
        real = Path(os.path.realpath(self.root / path))
        return self.root / path if self._real_root in real.parents else None

    def has(self, path: Path) -> bool:
        """Whether a path that `inside` gave exists."""
        return self._lists(path.relative_to(self.root)) or os.path.exists(path)

    def _below_root(self, given: PurePath) -> Path | None:
        """An absolute path as one relative to `root`; None where it is none of a file below it."""
        for root in (Path(os.path.abspath(self.root)), self._real_root):
            if root in given.parents:
                return Path(given.relative_to(root))
        real = Path(os.path.realpath(given.parent), given.name)
        return real.relative_to(self._real_root) if self._real_root in real.parents else None

    @cached_property
    def _real_root(self) -> Path:
        return Path(os.path.realpath(self.root))

    def _lists(self, path: Path) -> bool:
        return path.name in self._names.get(path.parent, ())

    @cached_property
    def _names(self) -> dict[Path, frozenset[str]]:
        return {folder: frozenset(names) for folder, names in self.folders.items()}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Name in lower case to the folders of that name that hold files at any depth, the shallowest first."""
        every = dict.fromkeys(above for folder in self.folders for above in (folder, *folder.parents))
        found: dict[str, list[Path]] = {}
        for folder in sorted(every, key=lambda folder: len(folder.parts)):
            found.setdefault(folder.name.lower(), []).append(folder)
        return found


def look(root: Path) -> Listing:
    """List a folder: each folder below it is read once, no file is opened but where a tree seems to be there twice.

    Left out are hidden files (``._x``, ``.DS_Store``), ``__MACOSX``, links to folders, and copies: an archive may hold
    its tree again inside itself (``chest_xray/train/`` and ``chest_xray/chest_xray/train/``).

    Raises:
        DataError: E101, a folder that may not be read.
    """
    folders: dict[Path, tuple[str, ...]] = {}
    links: set[Path] = set()
    ignored: dict[Path, str] = {}
    waiting = [Path()]
    while waiting:
        folder = waiting.pop()
        below, seen = [], []
        for entry in _entries(root / folder):
            reason = _reason_to_ignore(entry)
            if reason:
                ignored[folder / entry.name] = reason
            elif entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
            else:
                seen.append(entry.name)
                links |= {folder / entry.name} if entry.is_symlink() else set()
        waiting += [folder / name for name in reversed(natural_sort(below))]
        if seen:
            folders[folder] = tuple(natural_sort(seen))
    copies = _copies(root, folders, links)
    for folder, other in copies.items():
        reason = f"a copy of what is in {root.resolve().name if other == Path() else other}"
        ignored |= dict.fromkeys((folder / name for name in folders[folder]), reason)
    kept = {folder: names for folder, names in folders.items() if folder not in copies}
    return Listing(root, kept, frozenset(links), ignored)


def natural_sort(names: Iterable[str]) -> list[str]:
    """``liver_2`` before ``liver_10``."""
    return sorted(names, key=natural_key)


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """A key for `sorted` that compares numbers as numbers; no two names have one key."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        what, fix = f"the folder cannot be read: {error.strerror or error}", "check the permissions and the disk"
        raise DataError(Fault("E101", what, fix, file=folder)) from error


def _reason_to_ignore(entry: os.DirEntry[str]) -> str:
    hidden = entry.name.startswith(".")
    if not entry.is_dir():
        return HIDDEN if hidden else ""
    if hidden or entry.name.lower() in JUNK_FOLDERS:
        return LEFT_BY_ARCHIVE
    return LINKED_FOLDER if entry.is_symlink() else ""


def _copies(root: Path, folders: dict[Path, tuple[str, ...]], links: set[Path]) -> dict[Path, Path]:
    """Folders that hold nothing but what another one holds, to that one.

    The other's path is the folder's own with one run of its parts left out. No folder is compared with a copy.
    """
    by_parts = {folder.parts: folder for folder in folders}
    found: dict[Path, Path] = {}
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):
        for parts in _shortened(folder.parts):
            other = by_parts.get(parts)
            if other is not None and other not in found and _is_copy(root, folder, other, folders, links):
                found[folder] = other
                break
    return found


def _shortened(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for start in range(len(parts)):
        for stop in range(start + 1, len(parts) + 1):
            yield parts[:start] + parts[stop:]


def _is_copy(root: Path, folder: Path, other: Path, folders: dict[Path, tuple[str, ...]], links: set[Path]) -> bool:
    """Whether all files of `folder` stand in `other` too: names, sizes, and of some of them the content."""
    names = folders[folder]
    if not set(names) <= set(folders[other]):
        return False
    if any(each / name in links for name in names for each in (folder, other)):
        return False
    pairs = [(root / folder / name, root / other / name) for name in names]
    if any(one.stat().st_size != two.stat().st_size for one, two in pairs):
        return False
    step = -(-len(pairs) // COMPARED)
    return all(filecmp.cmp(one, two, shallow=False) for one, two in pairs[::step])


def _tail(folder: Path, n: int) -> tuple[str, ...]:
    return tuple(part.lower() for part in folder.parts[-n:])
