import pytest

from medseg.errors import UsageError
from medseg.trainers import EpochSampler, ShareSampler

DATA = range(11)


def order(epoch=1, **settings):
    sampler = EpochSampler(DATA, **settings)
    sampler.epoch = epoch
    return list(sampler)


def test_a_permutation_with_its_epoch():
    pairs = order(epoch=4)
    assert {epoch for epoch, _ in pairs} == {4}
    assert sorted(index for _, index in pairs) == list(DATA)
    assert all(type(index) is int for _, index in pairs)


def test_a_pure_function_of_seed_and_epoch():
    assert order(3) == order(3)
    indices = {tuple(index for _, index in order(epoch, seed=seed)) for epoch in range(4) for seed in range(4)}
    assert len(indices) == 16


def test_a_frozen_order():
    """The same on every machine: a resumed run would go another way otherwise."""
    assert [index for _, index in order(1, seed=0)] == [9, 7, 3, 0, 1, 8, 6, 4, 10, 5, 2]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shards(world):
    shards = [order(2, rank=rank, world=world) for rank in range(world)]
    assert {len(shard) for shard in shards} == {len(DATA) // world}
    together = [index for shard in shards for _, index in shard]
    assert len(set(together)) == len(together) == len(DATA) // world * world
    assert all(len(EpochSampler(DATA, rank=rank, world=world)) == len(DATA) // world for rank in range(world))


def test_the_remainder_moves_from_epoch_to_epoch():
    left_out = {(set(DATA) - {i for rank in range(2) for _, i in order(epoch, rank=rank, world=2)}).pop()
                for epoch in range(20)}  # fmt: skip
    assert len(left_out) > 4


@pytest.mark.parametrize("world", [1, 2, 3, 11])
def test_processes_evaluate_each_case_once(world):
    shares = [list(ShareSampler(DATA, rank, world)) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(DATA)
    assert [len(ShareSampler(DATA, rank, world)) for rank in range(world)] == [len(share) for share in shares]


def test_fewer_cases_than_processes():
    with pytest.raises(UsageError, match=r"E903.*at least 3 cases.*found 2"):
        ShareSampler(range(2), 0, 3)
