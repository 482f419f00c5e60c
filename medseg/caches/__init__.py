"""Volumes pre-processed once and kept between epochs and runs."""

from medseg.caches.one_thread import OneThreadDataset
from medseg.caches.volumes import CachedDataset

__all__ = ["CachedDataset", "OneThreadDataset"]
