"""What the tests of both caches share."""

import itertools
import os

import numpy as np
import pytest
import torch


@pytest.fixture
def items(tmp_path, save):
    """Three cases of 6 x 6 x 6 voxels: noise and labels 0 to 2."""
    rng = np.random.default_rng(0)
    shape = (6, 6, 6)
    return [
        {
            "image": str(save(tmp_path / "data" / f"i{n}.nii.gz", rng.normal(size=shape).astype(np.float32))),
            "label": str(save(tmp_path / "data" / f"l{n}.nii.gz", rng.integers(0, 3, shape).astype(np.uint8))),
            "case": f"c{n}",
        }
        for n in range(3)
    ]


@pytest.fixture
def same():
    """Whether two items hold the same, to the bit."""

    def compare(first, second):
        assert set(first) == set(second)
        for key, value in first.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, second[key]) and value.dtype == second[key].dtype
                assert torch.equal(value.affine, second[key].affine)
            else:
                assert value == second[key]
        return True

    return compare


@pytest.fixture
def stack(tmp_path):
    """A function that writes three pictures into one file and names the second."""

    times = itertools.count(1)

    def write(pictures):
        np.save(tmp_path / "stack.npy", np.asarray(pictures, np.float32))
        os.utime(tmp_path / "stack.npy", ns=(0, next(times)))  # a clock may be too coarse to tell two writes apart
        return str(tmp_path / "stack.npy::1")

    return write
