import numpy as np

from medseg.seeds import pure_seed


def test_frozen_values():
    """The same on every machine and in every version: runs would not repeat otherwise."""
    assert [pure_seed(0), pure_seed(1, 2, 3), pure_seed("order", 0, 1)] == [186785679, 1774987389, 1706904728]


def test_numpy_integers_count_as_integers():
    assert pure_seed(np.int64(1), np.int32(2), np.uint8(3)) == pure_seed(1, 2, 3)


def test_every_part_and_its_place_matter():
    seeds = [pure_seed(*parts) for parts in ((), (0,), (0, 0), (0, 1), (1, 0), (11,), (1, 1), ("1", 1), ("a",))]
    assert len(set(seeds)) == len(seeds)


def test_seeds_fit_everybody():
    """NumPy and torch take 32 bits, MONAI 31."""
    seeds = [pure_seed(0, index) for index in range(2000)]
    assert min(seeds) >= 0 and max(seeds) < 1 << 31
    assert len(set(seeds)) > 1990
