"""Volumes pre-processed once and kept between epochs and runs."""

from medseg.caches.volumes import CachedDataset

__all__ = ["CachedDataset"]
