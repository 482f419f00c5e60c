"""Whether a network takes patches of a size, before anything is read or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from medseg.errors import Fault, UsageError
from medseg.labels import Labels


def try_patch(
    network: torch.nn.Module,
    channels: int,
    patch_size: Sequence[int],
    device: torch.device,
    labels: Mapping[str, int | Sequence[int]] | None = None,
) -> None:
    """Predict one empty patch (2, `channels`, *`patch_size`), so that a size the network cannot take is refused early.

    Args:
        network: on `device`.
        channels: of the image.
        patch_size: voxels along each axis.
        labels: what the label values mean, where the network must tell all of them apart: it needs a channel for each
            value, or one alone for a label 1 beside the background.

    Raises:
        UsageError: E903, with the network's own words; or what it gives has another size than the patch, as with
            convolutions that are not padded, or fewer channels than there are labels.
    """
    training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, channels, *patch_size, device=device))
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).strip().splitlines()[0]
        fix = "choose sides that the network's strides divide (their product, often 8, 16 or 32)"
        fault = Fault("E903", f"the network cannot take a patch of this size ({reason})", fix, found=f"{patch_size}")
        raise UsageError(fault) from error
    finally:
        network.train(training)
    if not isinstance(output, torch.Tensor):
        return
    if tuple(output.shape[2:]) != tuple(patch_size):
        fix = "choose a network that pads its convolutions, or mirrors the image's edges (of UNet: mirror=true)"
        expected, found = (str(tuple(size)) for size in (patch_size, output.shape[2:]))
        raise UsageError(Fault("E903", "the network's output has another size than its patch", fix, expected, found))
    if labels is not None:
        _refuse_fewer_channels(output.shape[1], Labels(labels))


def _refuse_fewer_channels(channels: int, labels: Labels) -> None:
    if channels < labels.n_classes and not (channels == 1 and labels.is_binary()):
        fix = f"set network_def::out_channels={labels.n_classes} (a channel for each label value, the background's too)"
        what = f"the network has too few channels for the labels {', '.join(labels.values)}"
        raise UsageError(Fault("E903", what, fix, str(labels.n_classes), str(channels)))
