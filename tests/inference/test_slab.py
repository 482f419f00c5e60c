import io

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from medseg.inference import SlabInferer, slab
from medseg.volumes.slabs import slabs


def convolution(channels=2, out=3, dims=3):
    torch.manual_seed(1)
    return (torch.nn.Conv2d, torch.nn.Conv3d)[dims - 2](channels, out, 3, padding=1)


@pytest.fixture(autouse=True)
def thin_slabs(monkeypatch):
    """Slabs of a plane or two, so that small volumes have many."""
    monkeypatch.setattr(slab, "slabs", lambda shape: slabs(shape, 400))


CASES = {
    "odd sizes": ((1, 2, 23, 17, 13), (8, 7, 5)),
    "several samples": ((3, 2, 11, 9, 10), (6, 6, 6)),
    "a window larger than the volume": ((1, 2, 5, 17, 6), (8, 8, 9)),
    "larger on every side": ((2, 2, 3, 4, 5), (8, 8, 8)),
    "one slice": ((1, 2, 19, 21, 1), (8, 8, 1)),
    "one slice, thick windows": ((1, 2, 19, 21, 1), (8, 8, 4)),
    "the volume is one window": ((1, 2, 8, 8, 8), (8, 8, 8)),
    "one size for all axes": ((1, 2, 15, 9, 12), 7),
    "pictures": ((2, 2, 33, 21), (16, 8)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sw_batch_size": 4, "overlap": 0.25, "mode": "gaussian", "padding_mode": "replicate"},
        {"sw_batch_size": 3, "overlap": 0.6, "mode": "gaussian"},
        {"sw_batch_size": 2, "overlap": 0.0, "padding_mode": "replicate"},
    ],
    ids=["defaults", "liver_ct", "much overlap", "none"],
)
@torch.no_grad()
def test_the_same_bits_as_monai(case, settings):
    shape, size = CASES[case]
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    network = convolution(dims=len(shape) - 2)
    found = SlabInferer(size, **settings)(image, network)
    expected = SlidingWindowInferer(size, **settings)(image, network)
    assert found.shape == (shape[0], 3, *shape[2:])
    assert torch.equal(found, expected)


@torch.no_grad()
def test_what_the_network_says_of_a_voxel_comes_back_there():
    image = torch.randn(1, 1, 30, 12, 9)
    found = SlabInferer((8, 6, 5), 2, 0.5, "gaussian")(image, lambda windows: torch.cat([windows, -windows], 1))
    assert torch.allclose(found, torch.cat([image, -image], 1), atol=1e-6)


@torch.no_grad()
def test_neither_the_input_nor_the_networks_output_is_changed():
    image = torch.randn(1, 1, 9, 9, 9)
    before, kept = image.clone(), []
    SlabInferer((4, 4, 4), mode="gaussian")(image, lambda windows: kept.append((windows, windows.clone())) or windows)
    assert torch.equal(image, before)
    assert all(torch.equal(now, then) for now, then in kept)


@torch.no_grad()
def test_scores_of_lower_precision_are_blended_in_float32():
    image = torch.full((1, 1, 24, 8, 8), 1 + 2**-7)  # a number of bfloat16; its weighted sums are not
    found = SlabInferer((8, 8, 8), mode="gaussian")(image, lambda windows: windows.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, image, atol=1e-6)


@torch.no_grad()
def test_meta_data_and_arguments_go_along():
    image = MetaTensor(torch.randn(1, 1, 9, 8, 7), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])), meta={"a": 1})
    found = SlabInferer((4, 4, 4))(image, lambda windows, factor, more: windows * factor + more, 2, more=1)
    assert isinstance(found, MetaTensor) and found.meta["a"] == 1
    assert torch.equal(found.affine, image.affine)
    assert torch.allclose(found.as_tensor(), 2 * image.as_tensor() + 1, atol=1e-6)


def test_gradients_reach_the_network():
    network, image = convolution(1, 1), torch.randn(1, 1, 9, 8, 7)
    gradients = []
    for inferer in (SlabInferer((4, 4, 4)), SlidingWindowInferer((4, 4, 4))):
        network.zero_grad()
        inferer(image, network).square().sum().backward()
        gradients.append(network.weight.grad.clone())
    assert torch.allclose(*gradients, rtol=1e-4)


@pytest.mark.parametrize("output", [lambda x: (x, x), lambda x: x[..., ::2], lambda x: x[:1]])
def test_other_outputs_are_refused(output):
    with pytest.raises(TypeError, match="SlabInferer takes networks"):
        SlabInferer((4, 4, 4), 2)(torch.zeros(1, 1, 9, 8, 7), output)


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_overlap_that_is_none_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap"):
        SlabInferer((4, 4, 4), overlap=overlap)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "delay", "shown"), [(Terminal, 0.0, True), (Terminal, 60.0, False),
                                                        (io.StringIO, 0.0, False)])  # fmt: skip
def test_a_bar_over_the_windows_on_a_terminal(monkeypatch, stream, delay, shown):
    """16 windows: 4 along the first axis, 2 along each of the others."""
    written = stream()
    monkeypatch.setattr(slab.sys, "stderr", written)
    monkeypatch.setattr(slab, "BAR_AFTER_S", delay)
    SlabInferer((4, 4, 4), 3, overlap=0.0)(torch.zeros(1, 1, 16, 8, 8), lambda windows: windows)
    assert ("windows" in written.getvalue()) == shown
    assert ("/16" in written.getvalue()) == shown


@pytest.mark.parametrize(("shape", "voxels"), [((7, 3, 2), 12), ((5, 4), 1), ((1, 9, 9), 100), ((4, 2, 2), 100)])
def test_slabs_cover_each_plane_once_and_are_no_larger_than_asked(shape, voxels):
    found = list(slabs(shape, voxels))
    assert [plane for part in found for plane in range(part.start, part.stop)] == list(range(shape[0]))
    in_plane = torch.Size(shape[1:]).numel()
    assert all((part.stop - part.start) * in_plane <= max(voxels, in_plane) for part in found)


@torch.no_grad()
def test_the_windows_weights_are_never_held_for_the_whole_volume(monkeypatch):
    """But for the scores, no tensor is as large as the volume."""
    sizes = []
    new_zeros = torch.Tensor.new_zeros
    monkeypatch.setattr(torch.Tensor, "new_zeros", lambda *args: sizes.append(args[1]) or new_zeros(*args))
    SlabInferer((8, 8, 8), mode="gaussian")(torch.zeros(1, 1, 40, 16, 16), lambda windows: windows)
    assert sizes[0] == (1, 1, 40, 16, 16)
    assert len(sizes) == 41 and all(size == (1, 16, 16) for size in sizes[1:])
