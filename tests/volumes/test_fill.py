import numpy as np
import pytest

from medseg.volumes.fill import fill


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 1, 1), (300, 2, 40), (7, 300, 1), (1, 5, 300)])
@pytest.mark.parametrize(("stored", "wanted"), [("i2", "f4"), ("u1", "u1"), (">f8", "f4")])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_order_gives_the_same_numbers(shape, stored, wanted, order):
    source = np.asarray(np.random.default_rng(0).integers(0, 200, shape).astype(stored), order=order)
    for target_order in ("C", "F"):
        target = np.full(shape, 255, wanted, order=target_order)
        fill(target, source)
        assert np.array_equal(target, source)


def test_strides_of_neither_order():
    source = np.arange(4 * 6 * 8).reshape(4, 6, 8)[::2, ::-1]
    target = np.zeros((3, 2, 6, 8))
    fill(target[1], source)
    assert np.array_equal(target[1], source)
    assert not target[[0, 2]].any()
