import pytest
import torch
from monai.transforms import Compose, MapTransform

from medseg.caches import CachedDataset, CachedSlices, OneThreadDataset
from medseg.transforms import ReadImaged

pytestmark = pytest.mark.usefixtures("two_threads")


def test_transforms_run_with_one_thread():
    seen = []

    def transform(item):
        seen.append(torch.get_num_threads())
        return item + 1

    assert list(OneThreadDataset([1, 2], transform)) == [2, 3]
    assert seen == [1, 1] and torch.get_num_threads() == 2


def test_the_threads_come_back_after_an_error():
    with pytest.raises(RuntimeError):
        OneThreadDataset([0], lambda item: 1 / item)[0]
    assert torch.get_num_threads() == 2


SEEN = []


class Noting(MapTransform):
    """Notes whether oneDNN may be used, and changes nothing."""

    def __call__(self, data):
        SEEN.append(torch.backends.mkldnn.enabled)
        return dict(data)


@pytest.mark.parametrize("kind", [OneThreadDataset, CachedDataset, CachedSlices])
@pytest.mark.filterwarnings("error:TF32")
def test_volumes_are_prepared_without_onednn(items, tmp_path, kind):
    """What it keeps for each size of a volume that is smoothed is never freed: 100 MB and more a case were seen."""
    SEEN.clear()
    folder = [] if kind is OneThreadDataset else [tmp_path / "cache"]
    data = kind(items, Compose([ReadImaged("image"), Noting("image")]), *folder)
    data[0]
    assert SEEN and not any(SEEN) and torch.backends.mkldnn.enabled
