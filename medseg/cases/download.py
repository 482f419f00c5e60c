"""Public data sets fetched from where their makers keep them: the tasks of the Medical Segmentation Decathlon."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from urllib.error import URLError

from medseg.errors import DataError, Fault, MedsegError, UsageError


def decathlon_tasks() -> list[str]:
    """``Task01_BrainTumour`` to ``Task10_Colon``."""
    from monai.apps import DecathlonDataset

    return sorted(DecathlonDataset.resource)


def download_task(task: str, folder: str | Path) -> Path:
    """Fetch a task of the Decathlon, compare its check sum, unpack it; MONAI knows address and check sum.

    Args:
        task: its name, or the beginning of one that no other has (``Task04``, ``04``, ``hippocampus``).
        folder: where the task's own folder will be; it appears whole or not at all.

    Returns:
        The task's folder.

    Raises:
        UsageError: E901, no such task.
        DataError: E503, the task's folder is there already; E105, the check sum is another.
        MedsegError: E704, the address cannot be reached; E701, the folder cannot be written.
    """
    from monai.apps import DecathlonDataset, download_url, extractall
    from monai.apps.utils import HashCheckError

    name = _task(task)
    target, url = Path(folder) / name, DecathlonDataset.resource[name]
    if target.exists():
        raise DataError(Fault("E503", "the task is there already", "use it, or choose another folder", file=target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.", suffix=".tmp") as temporary:
            archive = Path(temporary) / f"{name}.tar"
            download_url(url, archive, DecathlonDataset.md5[name], "md5", progress=True)
            extractall(archive, temporary)
            shutil.move(Path(temporary) / name, target)
    except HashCheckError as error:
        fix = "try again; if it stays so, the file at that address was changed"
        raise DataError(Fault("E105", "the check sum is another", fix, DecathlonDataset.md5[name], file=url)) from error
    except (ValueError, tarfile.TarError) as error:
        fix = "unpack it by hand, and look at what it holds"
        raise DataError(Fault("E105", f"the archive cannot be unpacked: {error}", fix, file=url)) from error
    except (URLError, RuntimeError) as error:
        fix = "check the connection, or download it with a browser and unpack it"
        raise MedsegError(Fault("E704", f"cannot be fetched: {error}", fix, file=url)) from error
    except OSError as error:
        fix = "free some space, or choose a folder that you may write to"
        raise MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=target)) from error
    return target


def _task(asked: str) -> str:
    known, wanted = decathlon_tasks(), asked.lower()
    fitting = [
        name
        for name in known
        if name.lower().startswith((wanted, f"task{wanted}")) or name.lower().split("_")[1] == wanted
    ]
    if len(fitting) != 1:
        raise UsageError(Fault("E901", "no such task", "choose one of those", ", ".join(known), repr(asked)))
    return fitting[0]
