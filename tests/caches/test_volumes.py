import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged, MapTransform, Orientationd, RandGaussianNoised, ScaleIntensityd
from torch.utils.data import DataLoader

from medseg.caches import CachedDataset
from medseg.errors import MedsegError, find
from medseg.trainers import EpochSampler
from medseg.transforms import RandAffinePatchd, ReadImaged, ReadLabeld

SHAPE = (6, 6, 6)
COMPUTED = []


class Watched(MapTransform):
    """Multiplies, and notes each time that it runs; the note stands outside, since attributes belong to the key."""

    def __init__(self, keys, factor=1.0):
        super().__init__(keys)
        self.factor = factor

    def __call__(self, data):
        COMPUTED.append(data["case"])
        return dict(data) | {key: data[key] * self.factor for key in self.keys}


def dataset(items, tmp_path, *random, factor=1.0, seed=0, **arguments):
    COMPUTED.clear()
    steps = [ReadImaged("image"), ReadLabeld("label"), Watched("image", factor), *random]
    return CachedDataset(items, Compose(steps), tmp_path / "cache", seed, **arguments)


PATCH = RandAffinePatchd(["image", "label"], "label", (4, 4, 4))


def entries(tmp_path):
    return sorted((tmp_path / "cache").iterdir())


def test_a_second_data_set_computes_nothing(items, tmp_path, same):
    first = list(dataset(items, tmp_path))
    assert COMPUTED == ["c0", "c1", "c2"]
    again = list(dataset(items, tmp_path))
    assert COMPUTED == []
    for a, b in zip(first, again, strict=True):
        assert same(a, b)
    assert again[0]["label"].dtype == torch.uint8
    assert again[0]["image"].meta["filename_or_obj"] == items[0]["image"]
    assert again[0]["image"].meta["spatial_shape"] == list(SHAPE)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_filled_ahead(items, tmp_path, workers):
    data = dataset(items, tmp_path)
    data[1]
    data.fill(workers)
    assert len(entries(tmp_path)) == 3 and (["c1", "c0", "c2"] if workers == 0 else ["c1"]) == COMPUTED
    written = [path.read_bytes() for path in entries(tmp_path)]
    COMPUTED.clear()
    list(data)
    data.fill(workers)
    assert COMPUTED == []
    shutil.rmtree(tmp_path / "cache")
    list(dataset(items, tmp_path))
    assert [path.read_bytes() for path in entries(tmp_path)] == written


def test_of_several_processes_each_fills_its_share(items, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for rank, expected in ((1, ["c1"]), (0, ["c0", "c2"])):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        dataset(items, tmp_path).fill()
        assert expected == COMPUTED


def test_what_cannot_be_read_is_found_when_it_is_filled(items, tmp_path):
    Path(items[2]["image"]).write_bytes(b"no image")
    for workers in (0, 1):
        with pytest.raises(RuntimeError) as caught:  # MONAI's, from a transform
            dataset(items, tmp_path).fill(workers)
        assert find(caught.value).faults[0].code == "E104"


def test_what_does_not_change_the_result_keeps_the_entry(items, tmp_path):
    list(dataset(items, tmp_path))
    for path in (items[0]["image"], items[1]["label"]):
        os.utime(path, ns=(5, 5))
    list(dataset(items, tmp_path, PATCH, seed=7))  # random transforms come after what is kept
    assert COMPUTED == []
    list(dataset(items[::-1], tmp_path))
    assert COMPUTED == []


@pytest.mark.parametrize("key", ["image", "label"])
def test_changed_content_is_computed_again(items, tmp_path, save, key):
    before = dataset(items, tmp_path)[1]
    path = Path(items[1][key])
    save(path, np.full(SHAPE, 2, np.uint8))
    os.utime(path, ns=(1, 1))
    after = dataset(items, tmp_path)[1]
    assert COMPUTED == ["c1"]
    assert not torch.equal(before[key], after[key])
    assert (after[key] == 2).all()


def test_another_path_is_computed_again(items, tmp_path, save):
    """The path goes into the meta data."""
    dataset(items, tmp_path)[0]
    moved = items[0] | {"image": str(Path(items[0]["image"]).rename(tmp_path / "moved.nii.gz"))}
    assert dataset([moved], tmp_path)[0]["image"].meta["filename_or_obj"] == moved["image"]
    assert COMPUTED == ["c0"]


def test_a_path_object_counts_by_its_content(items, tmp_path, save):
    path = Path(items[0]["image"])
    item = items[0] | {"image": path}
    dataset([item], tmp_path)[0]
    save(path, np.full(SHAPE, 2, np.uint8))
    os.utime(path, ns=(1, 1))
    assert (dataset([item], tmp_path)[0]["image"] == 2).all()


def test_changed_transforms_are_computed_again(items, tmp_path):
    before = dataset(items, tmp_path)[0]["image"]
    after = dataset(items, tmp_path, factor=2.0)[0]["image"]
    assert COMPUTED == ["c0"]
    assert torch.equal(after.as_tensor(), before.as_tensor() * 2)
    dataset(items, tmp_path, ScaleIntensityd("image"))[0]
    assert COMPUTED == ["c0"]


def test_use_does_not_change_the_key_of_transforms(items, tmp_path):
    steps = [ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None), ScaleIntensityd("image")]
    first = CachedDataset(items, Compose(steps), tmp_path / "cache")
    first[0]
    assert CachedDataset(items, Compose(steps), tmp_path / "cache").transform_hash == first.transform_hash


def test_arrays_in_memory_count_by_all_their_voxels(tmp_path):
    """Their repr shows the corners alone."""
    arrays = [np.zeros((1, 20, 20, 20), np.float32) for _ in range(2)]
    arrays[1][0, 10, 10, 10] = 1
    for kind in (np.asarray, torch.from_numpy):
        data = CachedDataset(
            [{"image": kind(array)} for array in arrays], Compose([ScaleIntensityd("image")]), tmp_path
        )
        assert [float(item["image"].max()) for item in data] == [0, 1]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
def test_a_damaged_entry_is_computed_again(items, tmp_path, caplog, damage, same):
    before = dataset(items[:1], tmp_path)[0]
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"flipped": content, "truncated": content[:-100], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert same(dataset(items[:1], tmp_path)[0], before)
    assert COMPUTED == ["c0"]
    assert "damaged" in caplog.text and path.name in caplog.text
    assert same(dataset(items[:1], tmp_path)[0], before)
    assert COMPUTED == []


def test_an_item_is_a_function_of_epoch_and_index(items, tmp_path, same):
    data = dataset(items, tmp_path, PATCH, RandGaussianNoised("image", prob=1.0))
    first = data[(3, 1)]
    data[(4, 2)], data[0]
    assert same(data[(3, 1)], first)
    assert same(data[(np.int64(3), np.int64(1))], first)
    assert not torch.equal(data[(4, 1)]["image"], first["image"])
    other_seed = dataset(items, tmp_path, PATCH, RandGaussianNoised("image", prob=1.0), seed=1)
    assert not torch.equal(other_seed[(3, 1)]["image"], first["image"])


def test_the_callers_random_state_is_left_alone(items, tmp_path):
    data = dataset(items, tmp_path, PATCH)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    data[(1, 1)]
    assert torch.rand(1) == expected


def test_workers_do_not_matter(items, tmp_path, same):
    data = dataset(items, tmp_path, PATCH, RandGaussianNoised("image", prob=1.0))
    runs = []
    for workers in (0, 2):
        sampler = EpochSampler(data, seed=3)
        loader = DataLoader(data, batch_size=None, sampler=sampler, num_workers=workers)
        runs.append([])
        for sampler.epoch in (1, 2):
            runs[-1] += list(loader)
    assert len(runs[0]) == 6
    for alone, shared in zip(*runs, strict=True):
        assert same(alone, shared)


def test_what_monai_reads_can_be_kept(items, tmp_path):
    """Its reader leaves NumPy arrays in the meta data, which torch would not load."""
    steps = [LoadImaged("image", image_only=True, ensure_channel_first=True)]
    first, again = (CachedDataset(items, Compose(steps), tmp_path / "cache")[0]["image"] for _ in range(2))
    assert torch.equal(first, again) and torch.equal(first.affine, again.affine)
    assert np.array_equal(np.asarray(again.meta["pixdim"]), np.asarray(first.meta["pixdim"]))


def test_new_data_leave_the_cache_as_it_is(items, tmp_path):
    """MONAI's set_data removes the folder, which other runs share."""
    data = dataset(items, tmp_path)
    data[0]
    kept = entries(tmp_path)
    data.set_data(items[1:])
    assert data[0]["case"] == "c1"
    assert set(kept) < set(entries(tmp_path))


def test_the_folder_is_the_users_own(items, tmp_path, monkeypatch):
    dataset(items, tmp_path)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(MedsegError, match=r"E504.*12345"):
        dataset(items, tmp_path)


def test_the_folder_of_the_environment(items, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_CACHE", str(tmp_path / "elsewhere"))
    CachedDataset(items, Compose([ReadImaged("image")]))[0]
    assert len(list((tmp_path / "elsewhere").glob("*.pt"))) == 1


KEY = """
from monai.transforms import Compose, NormalizeIntensityd, Orientationd, Spacingd
from medseg.caches import CachedDataset
from medseg.transforms import RandAffinePatchd, ReadImaged, ReadLabeld
keys = ["image", "label"]
steps = [ReadImaged("image"), ReadLabeld("label"), Orientationd(keys, axcodes="RAS", labels=None),
         Spacingd(keys, (1.0, 1.0, 1.0), mode=("bilinear", "nearest")), NormalizeIntensityd("image"),
         RandAffinePatchd(keys, "label", (4, 4, 4))]
key = CachedDataset([], Compose(steps), folder)._key(item)
"""


def test_the_key_is_the_same_in_every_process(items, tmp_path):
    """Whatever the seed of Python's hashes."""
    here = {"folder": tmp_path / "cache", "item": items[0]}
    exec(KEY, here)
    program = f"folder, item = {str(tmp_path / 'cache')!r}, {items[0]!r}\n{KEY}\nprint(key)"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONHASHSEED": seed})  # fmt: skip
    assert done.stdout.split()[-1] == here["key"]


def test_a_chain_within_the_chain_is_kept_as_its_steps_are(tmp_path):
    """One key must not stand for two contents: what is kept of the one would be taken for the other's."""
    data = [{"case": "a", "image": torch.ones(1, 2, 2, 2)}]
    steps = [Watched("image", 2.0), Watched("image", 10.0)]
    for transform in (Compose([steps[0], Compose(steps[1:])]), Compose(steps)):
        dataset = CachedDataset(data, transform, tmp_path / "cache")
        assert (dataset[0]["image"] == 20).all()
        assert (dataset[0]["image"] == 20).all()  # from what was kept
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 1
