import numpy as np
import pytest
from scipy import ndimage

from medseg.metrics.edges import Grid, edges


@pytest.mark.parametrize(("shape", "margin"), [((9, 8, 7), (1, 1, 1)), ((12, 9), (3, 1)), ((20,), (2,))])
@pytest.mark.parametrize("n_codes", [1, 4])
def test_edges_are_masks_without_their_erosions(shape, margin, n_codes):
    codes = np.random.default_rng(n_codes).integers(0, n_codes + 1, shape).astype(np.uint8)
    codes = np.repeat(codes, 3, axis=0)  # blocks that have an inside
    grid = Grid(codes.shape, margin, (1.0,) * len(shape))
    found = edges(grid.line(codes), grid).reshape(grid.shape)
    inside = found[tuple(slice(m, -m) for m in margin)]
    expected = sum(code * ((codes == code) & ~ndimage.binary_erosion(codes == code)) for code in range(1, n_codes + 1))
    assert np.array_equal(inside, expected)
    assert np.count_nonzero(found) == np.count_nonzero(inside)


def test_more_voxels_than_are_compared_at_once():
    codes = np.ones((70, 70, 70), np.uint8)
    grid = Grid(codes.shape, (1, 1, 1), (1.0, 1.0, 1.0))
    assert np.count_nonzero(edges(grid.line(codes), grid)) == 70**3 - 68**3


def test_positions_in_millimetres():
    """Voxel (1, 2) of the box lies at (1 + 2, 2 + 1) with its margins."""
    grid = Grid((3, 5), (2, 1), (0.5, 3.0))
    codes = np.zeros((3, 5), np.uint8)
    codes[1, 2] = 1
    assert grid.positions_mm(np.flatnonzero(grid.line(codes))).tolist() == [[1.5, 9.0]]
