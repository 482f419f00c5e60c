import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandGaussianNoised, ScaleIntensityd
from nibabel.affines import apply_affine
from PIL import Image
from torch.utils.data import DataLoader

from medseg.caches import CachedSlices
from medseg.errors import DataError, MedsegError, UsageError
from medseg.trainers import EpochSampler
from medseg.transforms import RandAffinePatchd, ReadImaged, ReadLabeld

AXES = ("axial", "coronal", "sagittal")
TURN = np.array([[0.94, -0.34, 0.0], [0.34, 0.94, 0.0], [0.0, 0.0, 1.0]])  # 20 degrees about the body's length


def affine(columns):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = np.transpose(columns), (-30.0, 12.0, 5.0)
    return result


# the affine, and the array's axes that run along the body, from back to front, and from side to side
GRIDS = {
    "RAS": (affine([(2, 0, 0), (0, 3, 0), (0, 0, 4)]), (2, 1, 0)),
    "LPS": (affine([(-2, 0, 0), (0, -3, 0), (0, 0, 4)]), (2, 1, 0)),
    "SLA": (affine([(0, 0, 2), (-3, 0, 0), (0, 4, 0)]), (0, 2, 1)),
    "PIR": (affine([(0, -2, 0), (0, 0, -3), (4, 0, 0)]), (1, 0, 2)),
    "oblique": (affine((TURN * [2, 3, 4]).T), (2, 1, 0)),
}
READ = [ReadImaged("image"), ReadLabeld("label")]
RANDOM = [RandAffinePatchd(["image", "label"], "label", (4, 4)), RandGaussianNoised("image", prob=1.0)]


@pytest.fixture
def dataset(tmp_path):
    """A function that makes the data set in the folder of the test."""

    def make(items, *steps, **arguments):
        return CachedSlices(items, Compose([*READ, *steps]), tmp_path / "cache", **arguments)

    return make


@pytest.fixture
def computed(monkeypatch):
    """The cases whose deterministic transforms ran."""
    cases, transform = [], CachedSlices._pre_transform

    def noted(self, item):
        cases.append(item["case"])
        return transform(self, item)

    monkeypatch.setattr(CachedSlices, "_pre_transform", noted)
    return cases


@pytest.fixture
def marked(tmp_path, save):
    """A case whose label holds something on the axial slices 1 and 4 alone."""
    label = np.zeros((6, 6, 6), np.uint8)
    label[2, 3, 1], label[5, 5, 4] = 1, 2
    image = save(tmp_path / "marked.nii.gz", np.ones(label.shape, np.float32))
    return {"image": str(image), "label": str(save(tmp_path / "marks.nii.gz", label)), "case": "marked"}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("grid", GRIDS)
def test_slices_are_cut_across_the_named_axis_of_the_body(tmp_path, save, dataset, grid, axis):
    matrix, along = GRIDS[grid]
    along = along[AXES.index(axis)]
    rng = np.random.default_rng(0)
    arrays = {"image": rng.normal(size=(3, 4, 5)).astype(np.float32), "label": rng.integers(0, 3, (3, 4, 5), np.uint8)}
    item = {key: str(save(tmp_path / f"{key}.nii.gz", array, matrix)) for key, array in arrays.items()}
    data = dataset([item | {"case": "a"}], axis=axis)
    assert len(data) == arrays["image"].shape[along]
    for place in range(len(data)):
        found = data[place]
        assert (found["case"], found["slice"]) == ("a", place)
        for key, array in arrays.items():
            assert np.array_equal(found[key][0].numpy(), np.take(array, place, axis=along))
            assert found[key].shape[0] == 1 and found[key].numpy().dtype == array.dtype


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_corners_of_a_slice_lie_where_they_lie_in_the_volume(tmp_path, save, dataset, grid, axis):
    matrix, along = GRIDS[grid]
    along = along[AXES.index(axis)]
    shape = (3, 4, 5)
    item = {key: str(save(tmp_path / f"{key}.nii.gz", np.ones(shape, np.uint8), matrix)) for key in ("image", "label")}
    for found in dataset([item], axis=axis):
        x, y = (n - 1 for i, n in enumerate(shape) if i != along)
        for corner in [(0, 0), (x, 0), (0, y), (x, y)]:
            wanted = apply_affine(matrix, np.insert(corner, along, found["slice"]))
            for key in item:
                assert np.allclose(apply_affine(found[key].affine.numpy(), (*corner, 0)), wanted, atol=1e-4)


def test_the_deterministic_transforms_are_in_the_slices(items, dataset):
    volume = Compose([*READ, ScaleIntensityd("image")])(items[1])["image"]
    data = dataset(items, ScaleIntensityd("image"))
    assert len(data) == 18
    assert torch.equal(data[6 + 2]["image"].as_tensor(), volume[..., 2].as_tensor())
    assert not torch.equal(data[6 + 2]["image"].as_tensor(), dataset(items)[6 + 2]["image"].as_tensor())


def test_a_picture_is_one_slice_in_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (found,) = CachedSlices([{"image": str(tmp_path / "x.png")}], Compose([ReadImaged("image")]), tmp_path / "cache")
    assert found["slice"] == 0
    assert np.array_equal(found["image"].numpy(), pixels.transpose(2, 1, 0))


def test_empty_slices_are_left_out(items, marked, dataset):
    data = dataset([marked, items[0]], drop_empty=True)
    assert [(item["case"], item["slice"]) for item in data][:3] == [("marked", 1), ("marked", 4), ("c0", 0)]
    assert len(data) == 2 + 6  # noise holds label on each slice
    assert len(dataset([marked], drop_empty=True, axis="sagittal")) == 2
    assert len(dataset([marked])) == 6


def test_slices_that_cannot_be_told_empty_are_refused(items, marked, dataset, tmp_path, save):
    with pytest.raises(DataError, match=r"E302.*case=a"):
        CachedSlices([{"image": items[0]["image"], "case": "a"}], Compose(READ[:1]), tmp_path, drop_empty=True)
    save(Path(marked["label"]), np.zeros((6, 6, 6), np.uint8))
    with pytest.raises(DataError, match=r"E302.*no slice"):
        dataset([marked], drop_empty=True)


def test_what_changes_nothing_computes_nothing(items, dataset, computed):
    before = dataset(items)
    assert computed == ["c0", "c1", "c2"]
    os.utime(items[0]["image"], ns=(5, 5))
    again = dataset(items[::-1], *RANDOM, seed=3, drop_empty=True)
    assert len(computed) == 3
    assert len(again) == len(before) == 18


@pytest.mark.parametrize("key", ["image", "label"])
def test_changed_content_is_computed_again(items, dataset, computed, save, key):
    dataset(items)
    save(Path(items[1][key]), np.full((6, 6, 6), 2, np.uint8))
    os.utime(items[1][key], ns=(1, 1))
    after = dataset(items)
    assert computed == ["c0", "c1", "c2", "c1"]
    assert (after[6][key] == 2).all() and not (after[0][key] == 2).all()


def test_one_picture_of_a_stack_is_computed_again(tmp_path, computed, stack):
    pictures = np.zeros((3, 4, 5))
    for value in (0, 7):
        pictures[1] = value
        item = {"image": stack(pictures), "case": "a"}
        (found,) = CachedSlices([item], Compose(READ[:1]), tmp_path / "cache")
        assert (found["image"] == value).all() and found["image"].shape == (1, 5, 4)
    assert computed == ["a", "a"]


def test_other_transforms_or_another_axis_are_computed_again(items, dataset, computed):
    dataset(items[:1])
    dataset(items[:1], ScaleIntensityd("image"))
    dataset(items[:1], axis="coronal")
    assert computed == ["c0", "c0", "c0"]
    dataset(items[:1], axis="coronal")
    assert computed == ["c0", "c0", "c0"]


def test_other_cases_take_the_place_of_these(items, dataset, computed):
    data = dataset(items[:1])
    data.set_data(items)
    assert computed == ["c0", "c1", "c2"]
    assert (len(data), data[17]["case"]) == (18, "c2")
    data.set_data([])
    assert len(data) == 0


def test_a_damaged_file_is_computed_again(items, tmp_path, dataset, computed, caplog, same):
    before = list(dataset(items[:1]))
    (path,) = (tmp_path / "cache").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        after = list(dataset(items[:1]))
    assert path.name in caplog.text and "damaged" in caplog.text
    assert computed == ["c0", "c0"]
    assert all(same(a, b) for a, b in zip(before, after, strict=True))
    dataset(items[:1])
    assert computed == ["c0", "c0"]


def _build(items, folder, barrier, results):
    barrier.wait()
    data = CachedSlices(items, Compose(READ), folder)
    results.put([item["image"].sum().item() for item in data])


def test_two_processes_make_the_same_files_at_once(items, tmp_path):
    context = multiprocessing.get_context("fork")
    for number in range(5):
        barrier, results = context.Barrier(2), context.Queue()
        folder = tmp_path / str(number)
        processes = [context.Process(target=_build, args=(items, folder, barrier, results)) for _ in range(2)]
        for process in processes:
            process.start()
        first, second = (results.get(timeout=60) for _ in processes)
        for process in processes:
            process.join()
        assert first == second and len(first) == 18
        assert [path.suffix for path in folder.iterdir()] == [".slices"] * 3


def test_an_item_is_a_function_of_epoch_and_index(items, dataset, same):
    data = dataset(items, *RANDOM)
    first = data[(3, 7)]
    assert first["image"].shape == (1, 4, 4)
    data[(4, 7)], data[0]
    assert same(data[(3, 7)], first)
    assert same(data[(np.int64(3), np.int64(7))], first)
    assert not torch.equal(data[(4, 7)]["image"], first["image"])
    assert not torch.equal(dataset(items, *RANDOM, seed=1)[(3, 7)]["image"], first["image"])


def test_a_slice_can_be_many_items_and_each_draws_for_itself(items, dataset, same):
    """Three cases of six slices, five times: each slice is in an epoch's order five times, with another patch."""
    data, once = dataset(items, *RANDOM, samples_per_slice=5), dataset(items, *RANDOM)
    assert len(data) == 90
    places = Counter((items.index(next(each for each in items if each["case"] == item["case"])), item["slice"])
                     for item in (data[pair] for pair in EpochSampler(data)))  # fmt: skip
    assert places == {(case, place): 5 for case in range(3) for place in range(6)}
    draws = [data[2, 7 + 18 * sample] for sample in range(5)]
    assert {(item["case"], item["slice"]) for item in draws} == {("c1", 1)}
    assert len({tuple(item["image"].as_tensor().ravel().tolist()) for item in draws}) == 5
    assert same(draws[4], data[2, 79]) and same(draws[0], once[2, 7])
    assert len(list(iter(data))) == 90
    with pytest.raises(IndexError, match="90"):
        data[90]


def test_workers_do_not_matter(items, dataset, same):
    data = dataset(items, *RANDOM)
    runs = []
    for workers in (0, 2):
        sampler = EpochSampler(data, seed=3)
        runs.append(list(DataLoader(data, batch_size=None, sampler=sampler, num_workers=workers)))
    assert len(runs[0]) == 18
    assert all(same(alone, shared) for alone, shared in zip(*runs, strict=True))


def test_a_pickled_copy_gives_the_same(items, dataset, computed, same):
    """Workers that are not forked get one."""
    data = dataset(items, *RANDOM)
    copy = pickle.loads(pickle.dumps(data))
    assert same(copy[(2, 5)], data[(2, 5)])
    assert len(computed) == 3


def test_wrong_settings_are_refused_by_name(items, dataset):
    with pytest.raises(UsageError, match=r"E903.*axis.*'transversal'"):
        dataset(items, axis="transversal")
    with pytest.raises(UsageError, match=r"E903.*drop_empty.*'yes'"):
        dataset(items, drop_empty="yes")


def test_the_folder_is_the_users_own(items, dataset, tmp_path, monkeypatch):
    dataset(items[:1])
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(MedsegError, match=r"E504.*12345"):
        dataset(items[:1])


MEMORY = """
import sys
from monai.transforms import Compose
from medseg.caches import CachedSlices
from medseg.transforms import ReadImaged

def anonymous_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def read(count):
    items = [{"image": name} for name in sys.argv[2 : 2 + count]]
    data = CachedSlices(items, Compose([ReadImaged("image")]), sys.argv[1])
    assert len(data) == 32 * count
    kept = 0.0
    for item in data:
        kept += float(item["image"][0, 0, 0])
    return anonymous_kib()

read(4)
print(read(4), read(12))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what memory is its own")
def test_memory_does_not_grow_with_the_number_of_volumes(tmp_path, save):
    """Each volume takes 2 MiB; a cache in memory would grow by 16."""
    rng = np.random.default_rng(0)
    names = [str(save(tmp_path / f"{n}.nii", rng.normal(size=(128, 128, 32)).astype(np.float32))) for n in range(12)]
    gives_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc keeps some of what is freed otherwise
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "cache"), *names], capture_output=True,
                          text=True, check=True, env=gives_back)  # fmt: skip
    few, many = (int(part) for part in done.stdout.split())
    assert many - few < 4096


def test_slices_of_a_real_scan_are_nibabels(tmp_path):
    folder = os.environ.get("MEDSEG_REAL_DATA")
    if not folder:
        pytest.skip("MEDSEG_REAL_DATA names no folder")
    path = min((Path(folder) / "sarcoma_pet" / "imagesTr").glob("*.nii.gz"))
    reference = nib.load(path)
    along = next(i for i, letter in enumerate(nib.aff2axcodes(reference.affine)) if letter in "IS")
    data = CachedSlices([{"image": str(path)}], Compose([ReadImaged("image")]), tmp_path / "cache")
    assert len(data) == reference.shape[along]
    place = len(data) // 3
    found = data[place]["image"]
    assert np.array_equal(found[0].numpy(), np.take(reference.get_fdata(dtype=np.float32), place, axis=along))
    wanted = apply_affine(reference.affine, np.insert((4, 9), along, place))
    assert np.allclose(apply_affine(found.affine.numpy(), (4, 9, 0)), wanted, atol=1e-3)
