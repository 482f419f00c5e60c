"""What the phantoms of volumes share: smooth random fields over positions in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Waves:
    """A smooth random field of zero mean: a sum of plane waves. (3, n) rad/mm, (n, 1) rad, (k, n) amplitudes."""

    vectors: Floats
    phases: Floats
    amplitudes: Floats

    def __call__(self, points: Floats) -> Floats:
        """(3, m) positions in mm to (k, m) values."""
        return times(self.amplitudes, np.sin(times(self.vectors.T, points) + self.phases))


def waves(
    rng: np.random.Generator, n: int, length_mm: tuple[float, float], deviation: float, channels: int = 1
) -> Waves:
    """`n` waves of lengths between `length_mm`, whose sum has the standard deviation `deviation` in each channel."""
    vectors = rng.normal(size=(3, n))
    vectors *= 2 * np.pi / rng.uniform(*length_mm, n) / np.linalg.norm(vectors, axis=0)
    amplitudes = rng.normal(size=(channels, n))
    amplitudes *= deviation * np.sqrt(2) / np.linalg.norm(amplitudes, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, (n, 1)).astype(np.float32)
    return Waves(vectors, phases, amplitudes)


def times(matrix: Floats, columns: Floats) -> Floats:
    """Matrix product in float32, without BLAS: the same bytes whatever the number of threads."""
    return np.einsum("ij,jm->im", matrix.astype(np.float32), columns.astype(np.float32, copy=False))
