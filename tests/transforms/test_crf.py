import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensityd, Orientationd, Spacingd

from medseg.classical.crf import Parameters, refine
from medseg.errors import DataError, UsageError
from medseg.transforms import ReadImaged, ToNativeGridd
from medseg.transforms.crf import RefineWithCRFd

WEAK = {"w1": 3.0, "w2": 2.0, "theta_beta": 0.3, "iterations": 2, "radius": 2}
SPACING = (0.8, 1.0, 1.6)
ROUNDING = 2e-2  # of scores in half precision


def tensor(array, spacing=SPACING, unit="mm"):
    meta = {"filename_or_obj": "a.nii", "unit": unit}
    return MetaTensor(torch.from_numpy(array), torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64)), meta)


def drawn(shape=(9, 8, 6), labels=3, channels=1, seed=0):
    """Scores that are in doubt everywhere, and an image whose percentiles 0.5 and 99.5 are 0 and 1."""
    draw = np.random.default_rng(seed)
    image = draw.random((channels, *shape)).astype(np.float32)
    low, high = np.percentile(image, (0.5, 99.5), axis=(1, 2, 3), keepdims=True).astype(np.float32)
    return draw.normal(0, 1, (labels, *shape)).astype(np.float32), (image - low) / (high - low)


def softmax(scores):
    return torch.from_numpy(scores).softmax(dim=0).numpy()


def refined(scores, image, **settings):
    item = {"image": image, "pred": scores}
    return RefineWithCRFd("pred", **(WEAK | settings))(item)["pred"]


def test_every_parameter_is_passed_on():
    values = {
        "w1": 1.0,
        "theta_alpha": 2.0,
        "theta_beta": 3.0,
        "w2": 4.0,
        "theta_gamma": 5.0,
        "iterations": 6,
        "radius": 7,
    }
    assert RefineWithCRFd("pred", **values).parameters == Parameters(**values)
    assert RefineWithCRFd("pred").parameters == Parameters()


@pytest.mark.parametrize("depth", [1, 6])
def test_it_is_the_random_field_of_the_softmax_in_millimetres(depth):
    scores, image = drawn((9, 8, depth))
    found = refined(tensor(scores), tensor(image))
    expected = refine(softmax(scores), image, SPACING, Parameters(**WEAK))
    assert np.allclose(np.exp(found.numpy()), expected, atol=1e-5)
    assert np.abs(expected - softmax(scores)).max() > 0.2
    pixels = refined(tensor(scores), tensor(image, unit="px"))
    assert np.allclose(np.exp(pixels.numpy()), refine(softmax(scores), image, None, Parameters(**WEAK)), atol=1e-5)
    assert not np.allclose(pixels.numpy(), found.numpy(), atol=1e-2)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.2, -3.0), (1500.0, -1000.0)])
def test_the_normalisation_of_the_image_does_not_matter(scale, shift):
    """Neither of one channel nor of each of three; theta_beta is a share of the range."""
    scores, image = drawn(channels=3)
    expected = refine(softmax(scores), image, SPACING, Parameters(**WEAK))
    scales = np.array([scale, 1, 10 * scale], np.float32).reshape(3, 1, 1, 1)
    found = refined(tensor(scores), tensor(image * scales + np.float32(shift)))
    assert np.allclose(np.exp(found.numpy()), expected, atol=1e-3)


def test_an_image_of_one_intensity_smooths_alone():
    scores, image = drawn()
    found = refined(tensor(scores), tensor(np.full_like(image, 7.0)))
    expected = refine(softmax(scores), np.zeros_like(image), SPACING, Parameters(**WEAK))
    assert np.allclose(np.exp(found.numpy()), expected, atol=1e-5)


def test_slice_wise_every_slice_is_a_picture_by_itself():
    scores, image = drawn()
    found = refined(tensor(scores), tensor(image), slice_wise=True)
    for z in range(6):
        single = refine(softmax(scores)[..., z], image[..., z], SPACING[:2], Parameters(**WEAK))
        assert np.allclose(np.exp(found[..., z].numpy()), single, atol=1e-5)
    assert not np.allclose(found.numpy(), refined(tensor(scores), tensor(image)).numpy(), atol=1e-2)
    picture = refined(tensor(scores[..., :1]), tensor(image[..., :1]), slice_wise=True)
    assert np.array_equal(picture, refined(tensor(scores[..., :1]), tensor(image[..., :1])))


def ball(shape=(48, 40, 36), centre=(15, 20, 18), radius=6.0):
    """Noisy scores of a ball in a volume that is otherwise certain to be background, and its image."""
    draw = np.random.default_rng(0)
    place = np.stack(np.indices(shape)) - np.reshape(centre, (3, 1, 1, 1))
    depth = radius - np.linalg.norm(place, axis=0)
    noise = draw.normal(0, 2, shape) * (depth > -4)
    foreground = np.clip(1.5 * depth, -8, 4) + noise
    image = 0.3 + 0.4 * (depth > 0) + draw.normal(0, 0.04, shape)
    return np.stack([0 * foreground, foreground]).astype(np.float32), image[None].astype(np.float32), depth > 0


def test_certain_background_is_left_out_without_changing_the_rest():
    scores, image, _ = ball()
    low, high = np.percentile(image, (0.5, 99.5))
    whole = refine(softmax(scores), (image - low) / (high - low), (1, 1, 1), Parameters(radius=2))
    found = RefineWithCRFd("pred", radius=2)({"pred": tensor(scores, (1, 1, 1)), "image": tensor(image, (1, 1, 1))})
    shares = np.exp(found["pred"].numpy())
    assert np.array_equal(shares.argmax(axis=0), whole.argmax(axis=0))
    near = np.s_[:, 5:25, 10:30, 8:28]  # within 10 voxels of the centre, where doubt ends, and a window's width around
    assert np.abs(shares - whole)[near].max() < 1e-3
    far = np.s_[:, 32:]
    assert np.allclose(shares[far], softmax(scores)[far], atol=1e-7)  # the network's own, not looked at
    assert not np.allclose(shares[near], softmax(scores)[near], atol=0.2)


@pytest.mark.parametrize(("certainty", "stays"), [(0.9999, True), (0.992, True), (0.985, False)])
def test_without_any_doubt_the_scores_stay(certainty, stays):
    scores = np.zeros((2, 8, 8, 3), np.float32)
    scores[0] = np.log(certainty / (1 - certainty))
    image = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    found = refined(tensor(scores), tensor(image)).exp().numpy()
    assert np.allclose(found[0], certainty, atol=1e-4) is stays


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_other_types(dtype):
    scores, image = drawn()
    found = refined(tensor(scores).to(dtype), tensor(image))
    assert found.dtype == torch.float32
    expected = refined(tensor(scores), tensor(image)).exp()
    assert np.allclose(found.exp(), expected, atol=ROUNDING)


def test_one_channel_is_the_logit_of_the_only_label():
    scores, image = drawn(labels=1)
    found = refined(tensor(scores), tensor(image))
    assert found.shape == (2, 9, 8, 6)
    foreground = 1 / (1 + np.exp(-scores[0]))
    expected = refine(np.stack([1 - foreground, foreground]), image, SPACING, Parameters(**WEAK))
    assert np.allclose(np.exp(found.numpy()), expected, atol=1e-5)


def test_scores_may_be_far_apart():
    """A network's certainty in logits of hundreds becomes log-probabilities that interpolation can work with."""
    scores, image = drawn()
    found = refined(tensor(scores * 500), tensor(image))
    assert torch.isfinite(found.as_tensor()).all()
    assert found.min() > -30


def test_place_meta_data_and_other_keys_stay_and_nothing_is_changed_in_place():
    scores, image = drawn()
    given, fed = tensor(scores.copy()), tensor(image.copy())
    transform = pickle.loads(pickle.dumps(RefineWithCRFd(["pred", "other"], allow_missing_keys=True, **WEAK)))
    found = transform({"pred": given, "image": fed, "label": 3})
    assert isinstance(found["pred"], MetaTensor)
    assert torch.equal(found["pred"].affine, given.affine)
    assert found["pred"].meta["filename_or_obj"] == "a.nii"
    assert (found["image"] is fed, found["label"]) == (True, 3)
    assert np.array_equal(fed, image) and np.array_equal(given, scores)
    plain = transform({"pred": torch.from_numpy(scores), "image": fed})["pred"]
    assert not isinstance(plain, MetaTensor)
    assert torch.equal(plain, found["pred"].as_tensor())


def test_from_the_file_to_a_label_map_on_its_grid(tmp_path, save):
    """A noisy prediction on a resampled and reoriented grid: the field finds the ball, `ToNativeGridd` its grid."""
    _, image, mask = ball(shape=(30, 28, 26), centre=(14, 13, 12))
    affine = np.diag([-0.9, 1.1, 1.0, 1.0])
    steps = [ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None),
             Spacingd("image", [1.0, 1.0, 1.0], mode="bilinear")]  # fmt: skip
    item = Compose(steps)({"image": str(save(tmp_path / "a.nii", image[0], affine))})
    seen = Compose(steps)({"image": str(save(tmp_path / "mask.nii", mask.astype(np.float32), affine))})["image"][0]
    noise = np.random.default_rng(1).normal(0, 2.5, seen.shape).astype(np.float32)
    foreground = torch.where(seen.as_tensor() > 0.5, 2.5, -2.5) + torch.from_numpy(noise)
    item["pred"] = torch.stack([torch.zeros_like(foreground), foreground])
    item = NormalizeIntensityd("image")(item)
    to_native_grid = ToNativeGridd("pred", probabilities="prob")
    before = to_native_grid(item)["pred"][0].numpy()
    after = to_native_grid(RefineWithCRFd("pred")(item))
    wrong = [int(((found == 1) != mask).sum()) for found in (before, after["pred"][0].numpy())]
    assert wrong[0] > 1000 and wrong[1] < 60
    assert np.allclose(after["pred"].affine, affine, atol=1e-6)
    assert np.allclose(after["prob"].sum(dim=0).numpy(), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "code"),
    [
        (torch.zeros(2, 9, 8, 5), "E201.*a.nii"),
        (torch.zeros(2, 9, 8), "E201"),
        (torch.full((2, 9, 8, 6), torch.nan), "E404"),
        (torch.full((2, 9, 8, 6), torch.inf), "E404"),
    ],
)
def test_other_scores_are_refused(scores, code):
    with pytest.raises(DataError, match=code):
        refined(scores, tensor(drawn()[1]))


@pytest.mark.parametrize("wrong", [{"w1": -1.0}, {"radius": 0}, {"theta_beta": 0.0}, {"slice_wise": "no"}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=f"E903.*{next(iter(wrong))}"):
        RefineWithCRFd("pred", **wrong)
