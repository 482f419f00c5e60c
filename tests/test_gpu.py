"""What needs a CUDA device: `make test-gpu`."""

import pytest
import torch
from runs import outcome, run

from medseg.cases.phantoms import write_phantom
from medseg.inference import best_precision
from medseg.volumes import MASKS
from medseg.workflows.bundles import bundle_names

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("bundle", bundle_names())
def test_a_bundle_trains_and_predicts_on_the_gpu(bundle, tmp_path):
    data = write_phantom(bundle, tmp_path / "data", 6)
    folder = run(bundle, "train", tmp_path / "run", data, epochs=2)
    weights = str(folder / "bundle" / "models" / "model.pt")
    run(bundle, "infer", tmp_path / "masks", data, checkpoint_file=weights)
    assert [path for path in (tmp_path / "masks").iterdir() if path.name.endswith(MASKS)]
    assert best_precision(torch.device("cuda")) in ("bfloat16", "float32")


@pytest.mark.parametrize("bundle", bundle_names())
def test_deterministic_algorithms_give_the_same_bits_on_the_gpu(bundle, tmp_path):
    data = write_phantom(bundle, tmp_path / "data", 6)
    ends = [
        outcome(run(bundle, "train", tmp_path / name, data, epochs=2, deterministic_algorithms=True)) for name in "ab"
    ]
    assert ends[0] == ends[1]
