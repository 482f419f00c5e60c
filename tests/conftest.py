"""What several rooms' tests share."""

import os

# Read with PyTorch: test processes share the cores, so each takes one, and threads do not spin while they wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest
import torch

from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def two_threads():
    """PyTorch with two threads, however many the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def save():
    """A function that writes an array to a path and makes the folders on the way."""

    def write(path, array, affine=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_volume(path, Volume(array, Geometry(np.eye(4) if affine is None else affine, array.shape)))

    return write
