"""The 2D networks against MONAI's nearest one: operations, seconds a step and an image, time for the same operations.

    python tools/bench/networks.py [network …]

Goals, on a CPU in float32: no network takes longer for its operations than MONAI's `BasicUNet` (ratio at most 1.05, the
noise of this bench), in inference and in training; and each predicts pictures of 256 x 256 in batches of four, as the
bundles do, within 2 GB. The peer has the channels of U-Net, or for the smallest network its few.

Operations are counted by PyTorch (`torch.utils.flop_counter`). What is compared runs alternately; ratios are medians
over rounds. Networks of recurrent cells or of many small convolutions do less in each operation, so they are measured
against the goal too, and the table says by how much they miss it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import torch
from memory import status_kib
from monai.networks.nets import BasicUNet, DynUNet
from torch.utils.flop_counter import FlopCounterMode

from medseg.networks import AttentionUnet, BCDUNet, MAPNet, MCGUNet, R2UNet, SmallUNet, UNet

SIZE, BATCH, ROUNDS = 256, 4, 3
GOAL, GOAL_BYTES = 1.05, 2e9
PEER, NARROW_PEER = "MONAI BasicUNet", "MONAI BasicUNet, narrow"
NARROW = ("SmallUNet", NARROW_PEER)
CHANNELS = {"in_channels": 1, "out_channels": 1}
Make = Callable[[], torch.nn.Module]
NETWORKS: dict[str, Make] = {
    PEER: lambda: _basic_unet((64, 128, 256, 512, 512, 64)),
    NARROW_PEER: lambda: _basic_unet((8, 16, 32, 32, 32, 8)),
    "UNet, padded": lambda: UNet(**CHANNELS),
    "UNet, padded_transposed": lambda: UNet(**CHANNELS, form="padded_transposed"),
    "UNet, bcdu_baseline": lambda: UNet(**CHANNELS, form="bcdu_baseline"),
    "UNet, ronneberger": lambda: UNet(**CHANNELS, form="ronneberger"),
    "UNet, primakov": lambda: UNet(**CHANNELS, form="primakov"),
    "SmallUNet": lambda: SmallUNet(**CHANNELS),
    "MAPNet": lambda: MAPNet(**CHANNELS),
    "BCDUNet, d=1": lambda: BCDUNet(**CHANNELS, dense_blocks=1),
    "BCDUNet, d=3": lambda: BCDUNet(**CHANNELS, dense_blocks=3),
    "MCGUNet": lambda: MCGUNet(**CHANNELS),
    "R2UNet": lambda: R2UNet(**CHANNELS),
    "RUNet": lambda: R2UNet(**CHANNELS, residual=False),
    "AttentionUnet": lambda: AttentionUnet(**CHANNELS),
    "MONAI DynUNet, recommended": lambda: DynUNet(2, kernel_size=[3] * 5, strides=[1, 2, 2, 2, 2],
                                                  upsample_kernel_size=[2] * 4, filters=[16, 32, 64, 128, 256],
                                                  res_block=True, **CHANNELS),
}  # fmt: skip


def main(chosen: Sequence[str]) -> None:
    """Print the table, and exit 1 where a goal is missed."""
    missed = []
    print(f"{'':28s} parameters  GFLOP  s/image  s/step (batch {BATCH})  per GFLOP / MONAI's: image, step  peak MB")
    for name in chosen or NETWORKS:
        make, peer = NETWORKS[name], NETWORKS[NARROW_PEER if name in NARROW else PEER]
        peak = _peak_bytes(name)
        predict, train = (_ratio(make, peer, mode) for mode in (_predict, _step))
        network = make()
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"{name:28s} {count:10,d} {_operations(network) / 1e9:6.1f} {predict[0]:8.3f} {train[0]:9.2f}"
              f" {predict[1]:33.2f} {train[1]:5.2f} {peak / 1e6:14.0f}", flush=True)  # fmt: skip
        if not name.startswith("MONAI") and (max(predict[1], train[1]) > GOAL or peak > GOAL_BYTES):
            missed.append(name)
    print(f"goals missed: {', '.join(missed) or 'none'}")
    if missed:
        sys.exit(1)


def _basic_unet(features: Sequence[int]) -> torch.nn.Module:
    return BasicUNet(2, features=features, norm="batch", act="relu", upsample="nontrainable", **CHANNELS)


def _operations(network: torch.nn.Module) -> int:
    """Floating-point operations of one picture."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 1, SIZE, SIZE))
    return int(counter.get_total_flops())


def _predict(network: torch.nn.Module) -> float:
    """Seconds an image, of a batch."""
    network.eval()
    images = torch.rand(BATCH, 1, SIZE, SIZE)
    with torch.inference_mode():
        start = time.perf_counter()
        network(images)
        return (time.perf_counter() - start) / BATCH


def _step(network: torch.nn.Module) -> float:
    """Seconds of forward and backward of a batch."""
    network.train()
    images = torch.rand(BATCH, 1, SIZE, SIZE)
    start = time.perf_counter()
    torch.nn.functional.binary_cross_entropy_with_logits(network(images), (images > 0.5).float()).backward()
    return time.perf_counter() - start


def _ratio(make: Make, make_peer: Make, run: Callable[[torch.nn.Module], float]) -> tuple[float, float]:
    """Median seconds, and the median ratio to the peer's of seconds an operation, each pair of runs in turn."""
    own, peer = make(), make_peer()
    share = _operations(peer) / _operations(own)
    run(own), run(peer)
    pairs = [(run(own), run(peer)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(a / b * share for a, b in pairs)


def _peak_bytes(name: str) -> float:
    """The largest memory of a process that predicts a batch."""
    done = subprocess.run([sys.executable, __file__, "--peak", name], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _predict_batch(name: str) -> None:
    with torch.inference_mode():
        NETWORKS[name]().eval()(torch.rand(BATCH, 1, SIZE, SIZE))
    print(status_kib("VmHWM") * 1024)


if __name__ == "__main__":
    _predict_batch(sys.argv[2]) if sys.argv[1:2] == ["--peak"] else main(sys.argv[1:])
