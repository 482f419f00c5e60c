import pytest
import torch

from medseg.caches import OneThreadDataset

pytestmark = pytest.mark.usefixtures("two_threads")


def test_transforms_run_with_one_thread():
    seen = []

    def transform(item):
        seen.append(torch.get_num_threads())
        return item + 1

    assert list(OneThreadDataset([1, 2], transform)) == [2, 3]
    assert seen == [1, 1] and torch.get_num_threads() == 2


def test_the_threads_come_back_after_an_error():
    with pytest.raises(RuntimeError):
        OneThreadDataset([0], lambda item: 1 / item)[0]
    assert torch.get_num_threads() == 2
