import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg.inference import MirrorInferer

IMAGE = torch.arange(2 * 1 * 4 * 4 * 4, dtype=torch.float32).reshape(2, 1, 4, 4, 4)


def first_voxels(image):
    """A network that marks where its first plane is, so that its output depends on how it was mirrored."""
    marked = torch.zeros_like(image)
    marked[:, :, 0] = 1.0
    return marked


def test_without_axes_it_predicts_once():
    assert torch.equal(MirrorInferer(())(IMAGE, first_voxels), first_voxels(IMAGE))


def test_each_mirror_image_counts_the_same_and_comes_back_mirrored():
    expected = torch.zeros_like(IMAGE)
    expected[:, :, 0] = expected[:, :, -1] = 0.5
    assert torch.equal(MirrorInferer([0])(IMAGE, first_voxels), expected)


@pytest.mark.parametrize("axes", [[0], [1, 2], [0, 1, 2]])
def test_a_network_that_mirrors_along_is_left_alone(axes):
    def network(image):
        return image * 2 - 1

    assert torch.allclose(MirrorInferer(axes)(IMAGE, network), network(IMAGE))
    windows = SlidingWindowInferer((2, 2, 2), overlap=0.0)
    assert torch.allclose(MirrorInferer(axes, windows)(IMAGE, network), network(IMAGE))


def test_the_output_turns_with_the_input():
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    inferer = MirrorInferer([0])
    with torch.no_grad():
        assert torch.allclose(inferer(IMAGE.flip(2), network), inferer(IMAGE, network).flip(2), atol=1e-4)
