"""The mixture as a network: labels by intensity, checked against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Sklearn

from medseg.errors import UsageError
from medseg.networks import GaussianMixture, gaussian_mixture
from medseg.volumes.slabs import slabs

RNG = np.random.default_rng(0)
TRUTH = RNG.choice(3, (20, 18, 16), p=(0.5, 0.3, 0.2))
IMAGE = np.rint(RNG.normal(np.array([-1000, -100, 60])[TRUTH], 20)).astype(np.float32)


def labels_of(network, image):
    with torch.no_grad():
        return network(torch.from_numpy(image)[None, None])[0].argmax(0).numpy()


def test_components_stand_for_the_labels_that_are_named_from_dark_to_bright():
    network = GaussianMixture(1, 3, labels=[0, 2, 1], body=False)
    assert (labels_of(network, IMAGE) == np.array([0, 2, 1])[TRUTH]).mean() > 0.999


def test_probabilities_of_components_of_one_label_are_added():
    fitted = Sklearn(3, means_init=[[-1000], [-100], [60]], tol=1e-5, max_iter=100).fit(IMAGE.reshape(-1, 1))
    expected = fitted.predict_proba(IMAGE.reshape(-1, 1)).reshape(*IMAGE.shape, 3)
    network = GaussianMixture(1, 2, labels=[0, 1, 0], body=False)
    found = network(torch.from_numpy(IMAGE)[None, None])[0].exp().numpy()
    assert np.abs(found[1] - expected[..., 1]).max() < 1e-3
    assert np.abs(found[0] - expected[..., 0] - expected[..., 2]).max() < 1e-3


def test_slices_have_mixtures_of_their_own_and_batches_images_of_their_own():
    shifted = IMAGE + 500 * (np.arange(16) % 2).astype(np.float32)  # every other slice is brighter throughout
    assert (labels_of(GaussianMixture(1, 3, [0, 1, 2], slice_wise=True, body=False), shifted) == TRUTH).mean() > 0.999
    assert (labels_of(GaussianMixture(1, 3, [0, 1, 2], body=False), shifted) == TRUTH).mean() < 0.9
    network = GaussianMixture(1, 3, [0, 1, 2], body=False)
    both = network(torch.from_numpy(np.stack([IMAGE, shifted])[:, None]))
    assert torch.equal(both[1], network(torch.from_numpy(shifted)[None, None])[0])


@pytest.mark.parametrize("slice_wise", [False, True])
def test_long_volumes_are_labelled_slab_by_slab_from_one_table(monkeypatch, slice_wise):
    """Intensities that are no whole numbers are binned between the extremes of all of them, not of each slab."""
    image = IMAGE / 7 + np.linspace(0, 9, len(IMAGE), dtype=np.float32)[:, None, None]
    network = GaussianMixture(1, 3, [0, 1, 2], slice_wise=slice_wise, body=False)
    whole = network(torch.from_numpy(image)[None, None])
    monkeypatch.setattr(gaussian_mixture, "slabs", lambda shape: slabs(shape, 3 * shape[1] * shape[2]))
    assert torch.equal(network(torch.from_numpy(image)[None, None]), whole)


def test_outside_the_body_is_background():
    image = np.full((30, 30, 6), -1000, np.float32)
    image[5:25, 5:25] = np.rint(RNG.normal(-100, 5, (20, 20, 6)))
    image[10:20, 10:20] = np.rint(RNG.normal(60, 5, (10, 10, 6)))
    found = labels_of(GaussianMixture(1, 3, [1, 2]), image)
    assert (found[5:25, 5:25][image[5:25, 5:25] < 0] == 1).all() and (found[image > 0] == 2).all()
    found[5:25, 5:25] = 0
    assert not found.any()


def test_smoothing_takes_single_voxels_away():
    truth = np.zeros((16, 16, 8), int)
    truth[4:12, 4:12, 2:6] = 1
    image = np.rint(np.random.default_rng(1).normal(np.array([0, 40])[truth], 16)).astype(np.float32)
    rough, smoothed = (labels_of(GaussianMixture(1, 2, [0, 1], body=False, smoothing=s), image) for s in (0.0, 1.5))
    assert (rough != truth).mean() > 0.08 and (smoothed != truth).mean() < 0.02


@pytest.mark.parametrize("value", [0.0, -1000.0])
def test_an_image_of_one_intensity_is_one_label(value):
    found = GaussianMixture(1, 3, [0, 1, 2])(torch.full((1, 1, 8, 8, 4), value))
    assert torch.isfinite(found).all() and (found[0].argmax(0) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 7, 9), (2, 1, 7, 9, 1), (1, 1, 5, 6, 7)])
def test_pictures_and_single_slices(shape):
    assert GaussianMixture(1, 2, [0, 1])(torch.rand(shape)).shape == (shape[0], 2, *shape[2:])


@pytest.mark.parametrize(
    "arguments", [(2, 2, [0, 1]), (1, 2, [0, 2]), (1, 2, []), (1, 1, [0]), (1, 2, [0, 1], False, True, -1)]
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(UsageError, match="E903"):
        GaussianMixture(*arguments)


def test_it_has_nothing_to_train():
    network = GaussianMixture(1, 2, [0, 1])
    assert list(network.parameters()) == [] and network.state_dict() == {}
