import numpy as np
import pytest
from PIL import Image

from medseg.cases.case import Case
from medseg.cases.check import check_case
from medseg.labels import Labels

SHAPE = (8, 8, 8)
LABELS = Labels({"background": 0, "liver": 1})
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
LABEL = np.zeros(SHAPE, np.uint8)
LABEL[2:5] = 1


@pytest.fixture
def case(tmp_path, save):
    """A function that stores a case."""

    def build(name="a", image=IMAGE, label=LABEL, image_affine=None, label_affine=None, **details):
        return Case(
            name,
            (save(tmp_path / "images" / f"{name}.nii.gz", image, image_affine),),
            None if label is None else save(tmp_path / "labels" / f"{name}.nii.gz", label, label_affine),
            **details,
        )

    return build


def fault(case, labels=LABELS):
    (found,) = check_case(case, labels).faults
    assert found.case == case.id
    return found


def shifted(by_mm):
    affine = np.eye(4)
    affine[1, 3] = by_mm
    return affine


def test_a_sound_case(case):
    assert check_case(case(), LABELS).faults == ()
    assert check_case(case("n", label=None, negative=True), LABELS).faults == ()


def test_shapes(case):
    found = fault(case(label=LABEL[..., :7]))
    assert (found.code, found.expected, found.found) == ("E201", "(8, 8, 8)", "(8, 8, 7)")


def test_places(case):
    found = fault(case(label_affine=shifted(10)))
    assert (found.code, found.found) == ("E202", "10 mm")
    assert fault(case("f", label_affine=np.diag([-1.0, 1, 1, 1]))).code == "E202"
    assert fault(case("s", image_affine=np.diag([0.7, 1, 1, 1]))).code == "E202"


def test_rounding_is_no_fault(case):
    """0.7 mm and 0.70001 mm over 8 voxels."""
    spacings = (np.diag([size, 1.0, 1.0, 1.0]) for size in (0.7, 0.70001))
    assert check_case(case("a", IMAGE, LABEL, *spacings), LABELS).faults == ()
    assert check_case(case("b", label_affine=shifted(0.009)), LABELS).faults == ()
    assert fault(case("c", label_affine=shifted(0.011))).code == "E202"


def test_unknown_values_with_their_counts(case):
    label = LABEL.copy()
    label[0, 0, :3], label[0, 1, 0] = 5, 255
    found = fault(case(label=label))
    assert (found.code, found.found, found.expected) == ("E301", "5 (3 voxels), 255 (1 voxels)", "[0, 1]")
    assert check_case(case(label=label), None).faults == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_intensities_that_are_none(case, value):
    image = IMAGE.copy()
    image[1, 2, 3] = image[4, 4, 4] = value
    found = fault(case(image=image))
    assert (found.code, found.found) == ("E401", "2 voxels, the first at (1, 2, 3)")


def test_labels_between_integers(case):
    assert fault(case("a", label=LABEL * 0.4)).code == "E303"
    assert fault(case("b", label=np.where(LABEL, np.nan, 0))).code == "E401"
    assert check_case(case("c", label=LABEL * np.float32(0.9995)), LABELS).faults == ()


def test_an_empty_label_is_worth_a_word(case):
    found = fault(case("e", label=LABEL * 0))
    assert found.code == "W302" and found.is_warning
    assert check_case(case("e", label=LABEL * 0)).is_empty
    assert check_case(case("n", label=LABEL * 0, negative=True), LABELS).faults == ()


def test_an_image_of_one_value(case):
    assert fault(case(image=np.full(SHAPE, 3, np.int16))).code == "W403"


@pytest.mark.parametrize(("lowest", "codes"), [(-900, []), (-400, ["W402"])])
def test_a_ct_without_air_was_windowed(case, lowest, codes):
    image = np.linspace(lowest, 300, LABEL.size).reshape(SHAPE).astype(np.int16)
    checked = check_case(case(image=image, meta={"modality": "CT"}), LABELS)
    assert [found.code for found in checked.faults] == codes
    assert check_case(case("mr", image=image, meta={"modality": "MR"}), LABELS).faults == ()


def test_what_a_case_is_like(case, tmp_path, save):
    image = np.arange(LABEL.size, dtype=np.int16).reshape(SHAPE)
    label = np.zeros(SHAPE, np.uint8)
    label[1, 2, 3:5], label[0, 0, 7] = 1, 2
    affine = np.diag([2.0, 1.0, 5.0, 1.0])
    found = check_case(case(image=image, label=label, image_affine=affine, label_affine=affine))
    assert (found.lowest, found.highest, found.dtype, found.channels) == (0, 511, "int16", 1)
    assert found.voxels == {0: 509, 1: 2, 2: 1}
    assert (found.slices, found.labelled_slices) == (8, 3)
    assert found.labelled_ml() == pytest.approx(0.03)  # 3 voxels of 10 cubic millimetres
    turned = affine[:, [2, 1, 0, 3]]  # the first axis runs upwards
    found = check_case(case("t", image, label, turned, turned))
    assert found.labelled_slices == 2  # the first index is 0 or 1


def test_a_fingerprint_is_of_the_voxels(case, tmp_path, save):
    """The same in another type, name and compression; another where one voxel differs or two change places."""
    image = np.arange(LABEL.size, dtype=np.int16).reshape(SHAPE)
    moved = image.copy()
    moved[0, 0, 0], moved[5, 5, 5] = image[5, 5, 5], image[0, 0, 0]
    first = check_case(case("a", image)).fingerprint
    assert first == check_case(Case("b", (save(tmp_path / "b.nii", image.astype(np.float32)),))).fingerprint
    others = [moved, image + (image == 7), image.reshape(4, 16, 8)]
    assert len({check_case(case(f"c{i}", other, None)).fingerprint for i, other in enumerate(others)} | {first}) == 4


@pytest.fixture
def picture(tmp_path):
    """A function that stores a picture, (rows, columns), and gives its path."""

    def build(name, array, **options):
        path = tmp_path / name
        Image.fromarray(array).save(path, **options)
        return path

    return build


def test_masks_of_0_and_255(picture):
    """They are read as 0 and 1 where the task has one label, and are unknown values where it has two."""
    grey, mask = np.arange(64, dtype=np.uint8).reshape(8, 8), np.zeros((8, 8), np.uint8)
    mask[:2, :3] = 255
    case = Case("p", (picture("p.png", grey),), picture("m.png", mask))
    assert check_case(case, LABELS).voxels == {0: 58, 1: 6}
    assert check_case(case, LABELS).faults == ()
    assert check_case(case).white.code == "W307"
    found = fault(case, Labels({"background": 0, "liver": 1, "tumour": 2}))
    assert (found.code, found.found) == ("E301", "255 (6 voxels)")


def test_a_jpeg_that_smeared_its_mask(picture):
    grey, mask = np.arange(1024, dtype=np.uint8).reshape(32, 32), np.zeros((32, 32), np.uint8)
    mask[5:20, 7:21] = 255
    found = fault(Case("p", (picture("p.png", grey),), picture("m.jpg", mask, quality=80)))
    n = len(np.unique(np.asarray(Image.open(picture("m.jpg", mask, quality=80)))))
    assert n > 2
    assert (found.code, found.found) == ("E306", f"{n} values")


def test_a_label_of_two_files(picture):
    grey, left, right = (
        np.arange(64, dtype=np.uint8).reshape(8, 8),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
    )
    left[:, :3], right[:, 2:6] = 255, 255
    case = Case("p", (picture("p.png", grey),), (picture("l.png", left), picture("r.png", right)))
    assert check_case(case, LABELS).voxels == {0: 16, 1: 48}
    other = Case("q", case.images, (case.label[0], picture("s.png", right[:, :7])))
    assert fault(other).code == "E201"


def test_channels_on_several_grids(case):
    first, second = case("a", label=None), case("b", IMAGE[:7], None)
    found = fault(Case("m", first.images + second.images))
    assert (found.code, found.file) == ("E201", second.images[0])


def test_a_fault_names_its_own_channel(case):
    """The first channel cannot be read, the second holds NaN."""
    image = IMAGE.copy()
    image[0, 0, 0] = np.nan
    broken, other = case("a", label=None).images[0], case("b", image, None).images[0]
    broken.write_bytes(broken.read_bytes()[:-9])
    found = check_case(Case("m", (broken, other))).faults
    assert {(each.code, each.file, each.case) for each in found} == {("E102", broken, "m"), ("E401", other, "m")}
