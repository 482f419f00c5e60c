"""Losses that MONAI lacks."""

from medseg.losses.kl import WithKL, gaussian_kl

__all__ = ["WithKL", "gaussian_kl"]
