"""nnU-Net's raw format: ``dataset.json`` with ``channel_names``, ``imagesTr/<case>_0000.nii.gz``, ``labelsTr/``.

Version 1 named the channels ``modality``. Isensee et al. 2021 (doi:10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts import description
from medseg.cases.layouts.pairs import by_stem
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault
from medseg.labels import Labels
from medseg.volumes import PICTURES

LOOKS_LIKE = "dataset.json with channel_names, beside imagesTr/<case>_0000.<suffix> and labelsTr/ (nnU-Net raw)"
CHANNEL = re.compile(r"(.+)_(\d{4})")
SUBSETS = (("imagesTr", "labelsTr", ""), ("imagesTs", "labelsTs", "test"))


def matches(listing: Listing) -> bool:
    """Whether a `dataset.json` names channels."""
    return bool(_descriptions(listing))


def labels(listing: Listing) -> Labels | None:
    """What `dataset.json` says the values mean; a region of several values is a union."""
    return description.labels(description.only(_descriptions(listing)))


def find(listing: Listing) -> list[Case]:
    """A case for each name, its channels in their order; ``meta["ignore_value"]`` where labels have such a value.

    Raises:
        DataError: E101 a case lacks a channel, or has one too many; E104 a description that cannot be read; E609
            several data sets.
    """
    path = description.only(_descriptions(listing))
    root, names = path.parent.relative_to(listing.root), description.channel_names(path)
    ignored = description.ignore_value(path)
    meta = {"modality": ", ".join(names), **({} if ignored is None else {"ignore_value": ignored})}
    cases, faults = [], []
    for folder, label_folder, subset in SUBSETS:
        truth = by_stem(listing.volumes(root / label_folder).values())
        for name, channels in _channels(listing, root / folder).items():
            if sorted(channels) != list(range(len(names))) and not _is_colour_picture(channels):
                faults.append(_fault(name, channels, len(names)))
            images = tuple(channels[number] for number in sorted(channels))
            cases.append(Case(name, images, truth.get(name), meta={**meta, **({"subset": subset} if subset else {})}))
    if faults:
        raise DataError(*faults)
    return cases


def _descriptions(listing: Listing) -> list[Path]:
    return [path for path in description.found(listing) if description.is_nnunet(listing, path)]


def _channels(listing: Listing, folder: Path) -> dict[str, dict[int, Path]]:
    """Case to the number of each channel to its file."""
    cases: dict[str, dict[int, Path]] = {}
    for name, path in by_stem(listing.volumes(folder).values()).items():
        parts = CHANNEL.fullmatch(name)
        if parts:
            cases.setdefault(parts[1], {})[int(parts[2])] = path
    return cases


def _is_colour_picture(channels: dict[int, Path]) -> bool:
    """nnU-Net counts the colours of a photograph as channels, and keeps them in one file."""
    return set(channels) == {0} and channels[0].suffix.lower() in PICTURES


def _fault(case: str, channels: dict[int, Path], n_channels: int) -> Fault:
    expected, found = (", ".join(f"{n:04d}" for n in numbers) for numbers in (range(n_channels), sorted(channels)))
    what, fix = "not the channels that dataset.json names", "add the channel, or leave the case out"
    return Fault("E101", what, fix, expected, found, channels[min(channels)].parent, case)
