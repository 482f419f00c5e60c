import pytest
import torch

from medseg.caches import OneThreadDataset


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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


def test_sums_have_the_same_bits_with_any_number_of_threads():
    values = torch.rand(3_000_000, generator=torch.Generator().manual_seed(0))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(OneThreadDataset([values], lambda item: item.std())[0])
    assert torch.equal(*found)
