"""The memory of inference on a long CT, 512 x 512 x 800: the bundle liver_ct against MONAI's usual pipeline.

Goals, on a grid that has the bundle's spacing and on one that has another:
- at most half of MONAI's peak;
- below 6 GB;
- the same label in every voxel, but for one in a million where two scores are equal but for rounding.

Ours is the bundle's own ``inference.yaml``, from the file to the mask and its previews. MONAI's are LoadImaged,
Orientationd, Spacingd, ScaleIntensityRanged, SlidingWindowInferer with its defaults, Invertd of the scores, AsDiscreted
and SaveImaged in a SupervisedEvaluator. Both are given one network, a convolution of 1 x 1 x 1 voxels with 3 channels:
what a real one takes for its windows (for the bundle's own, printed last, in float32) comes on top, the same for
both. One thread, no GPU.

Peaks are each of a whole process of its own, one after the other. MONAI's takes 20 GB where it resamples; the two
volumes take 1 GB of the temporary folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from memory import forget_peak, status_kib
from monai.bundle import ConfigParser, run
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    AsDiscreted,
    Compose,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from medseg.geometry import Geometry
from medseg.volumes import Volume, read_volume, write_volume
from medseg.workflows.bundles import find_bundle

SHAPE = (512, 512, 800)
GRIDS_MM = {"the bundle's spacing": (0.8, 0.8, 1.0), "another spacing": (0.7, 0.7, 1.25)}
MOST_BYTES, MOST_OF_MONAI, MOST_OTHER = 6e9, 0.5, 1e-6
CASE = "long"
NETWORK = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1}
SLOPE, TUMOUR_FROM, LIVER_FROM = 8.0, -0.05, 0.60  # of the network's scores, on windowed intensities from -2 to 2
WINDOW_HU, SPACING_MM, PATCH = (-160.0, 240.0), (0.8, 0.8, 1.0), (96, 96, 96)

Floats = npt.NDArray[np.float32]


def main() -> None:
    """Print every peak and ratio beside its goal; exit 1 where one is missed."""
    missed = False
    for name, spacing_mm in GRIDS_MM.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_volume(folder / "images" / f"{CASE}.nii", spacing_mm)
            torch.save(network().state_dict(), folder / "model.pt")
            peaks = {each: _peak_bytes(each, folder) for each in WAYS}
            maps = [read_volume(folder / each / f"{CASE}.nii.gz", label=True).array for each in WAYS]
        other = int(np.count_nonzero(maps[0] != maps[1]))
        ratio = peaks["medseg"] / peaks["MONAI"]
        print(f"{name}, {' x '.join(map(str, spacing_mm))} mm; voxels a label: {np.bincount(maps[0].ravel())}")
        print(f"  peak, MONAI            {peaks['MONAI'] / 1e9:8.2f} GB")
        print(f"  peak, medseg           {peaks['medseg'] / 1e9:8.2f} GB  (goal < {MOST_BYTES / 1e9:.2f} GB)")
        print(f"  medseg / MONAI         {ratio:8.3f}     (goal <= {MOST_OF_MONAI:.2f})")
        print(f"  voxels of other labels {other:8d}     (goal <= {int(MOST_OTHER * maps[0].size)})")
        missed |= ratio > MOST_OF_MONAI or peaks["medseg"] >= MOST_BYTES or other > MOST_OTHER * maps[0].size
    print(f"the bundle's network on 4 windows takes {_peak_bytes('network', Path()) / 1e9:.2f} GB more")
    if missed:
        sys.exit(1)


def make_volume(path: Path, spacing_mm: tuple[float, float, float]) -> None:
    """A body of water-like tissue with a liver (130 HU) and two tumours in it (70 HU), and noise of 10 HU."""
    rng = np.random.default_rng(0)
    centre_mm = np.multiply(SHAPE, spacing_mm) / 2
    x, y, z = (np.arange(n, dtype=np.float32) * mm - at for n, mm, at in zip(SHAPE, spacing_mm, centre_mm, strict=True))

    def inside(at: tuple[float, float, float], radii: tuple[float, float, float], height: float) -> npt.NDArray:
        across = ((x[:, None] - at[0]) / radii[0]) ** 2 + ((y - at[1]) / radii[1]) ** 2
        return across + ((height - at[2]) / radii[2]) ** 2 < 1

    array = np.empty(SHAPE, np.int16, order="F")
    for index, height in enumerate(z):
        values = np.where(inside((0, 0, height), (165, 120, 1), height), 0, -1000)
        values[inside((60, 10, 40), (85, 70, 75), height)] = 130
        for at in ((40, 0, 30), (95, 25, 55)):
            values[inside(at, (18, 15, 16), height)] = 70
        array[..., index] = values + rng.integers(-10, 11, SHAPE[:2])
    path.parent.mkdir(parents=True)
    affine = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])  # LPS, as most CT is stored
    write_volume(path, Volume(array, Geometry(affine, SHAPE)))


def network() -> torch.nn.Module:
    """Background below a tumour's intensities, liver above them."""
    found = torch.nn.Conv3d(1, 3, 1)
    with torch.no_grad():
        found.weight[:] = torch.tensor([-SLOPE, 0.0, SLOPE]).reshape(3, 1, 1, 1, 1)
        found.bias[:] = torch.tensor([SLOPE * TUMOUR_FROM, 0.0, -SLOPE * LIVER_FROM])
    return found


def medseg(folder: Path) -> None:
    bundle = find_bundle("liver_ct")
    settings = {"dataset_dir": str(folder / "images"), "output_dir": str(folder / "medseg"),
                "checkpoint_file": str(folder / "model.pt"), "bundle_root": str(bundle), "network_def": NETWORK,
                "precision": "float32", "device": "$torch.device('cpu')"}  # fmt: skip
    run(config_file=str(bundle / "configs" / "inference.yaml"), **settings)


def monai(folder: Path) -> None:
    low, high = WINDOW_HU
    before = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", SPACING_MM, mode="bilinear"),
            ScaleIntensityRanged("image", low, high, -2.0, 2.0, clip=True),
        ]
    )
    after = Compose(
        [
            Invertd("pred", transform=before, orig_keys="image", nearest_interp=False),
            AsDiscreted("pred", argmax=True),
            SaveImaged("pred", output_dir=folder / "MONAI", output_postfix="", output_dtype=np.uint8,
                       separate_folder=False, print_log=False),
        ]
    )  # fmt: skip
    model = network()
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([{"image": str(folder / "images" / f"{CASE}.nii")}], before)),
        network=model,
        inferer=SlidingWindowInferer(PATCH),
        postprocessing=after,
    )
    evaluator.run()


WAYS: dict[str, Callable[[Path], None]] = {"medseg": medseg, "MONAI": monai}


def _peak_bytes(way: str, folder: Path) -> int:
    done = subprocess.run([sys.executable, __file__, way, str(folder)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{way} failed (exit code {done.returncode}; -9: the machine has too little memory for it)")
    return int(done.stdout.split()[-1])


def _windows_bytes() -> int:
    """How far the bundle's own network raises the memory for one batch of windows, once it has seen a small one."""
    config = ConfigParser(ConfigParser.load_config_file(find_bundle("liver_ct") / "configs" / "inference.yaml"))
    model = config.get_parsed_content("network_def").eval()
    with torch.no_grad():
        model(torch.zeros(4, 1, 32, 32, 32))
        windows = torch.zeros(4, 1, *PATCH)
        forget_peak()
        before = status_kib("VmRSS")
        model(windows)
    return 1024 * (status_kib("VmHWM") - before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # deprecations within MONAI
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "network":
        print(_windows_bytes())
    else:
        WAYS[sys.argv[1]](Path(sys.argv[2]))
        print(1024 * status_kib("VmHWM"))
