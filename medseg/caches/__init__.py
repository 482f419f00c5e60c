"""Volumes and slices pre-processed once and kept between epochs and runs."""

from medseg.caches.one_thread import OneThreadDataset
from medseg.caches.slices import CachedSlices
from medseg.caches.volumes import CachedDataset

__all__ = ["CachedDataset", "CachedSlices", "OneThreadDataset"]
