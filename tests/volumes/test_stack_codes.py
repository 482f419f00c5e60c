import numpy as np
import pytest

from medseg.volumes.stack_codes import choose_levels, encode, is_hounsfield


def body(lowest, highest):
    """Air, fat, soft tissue and some bone, cut to a range as a cropped scan would have it."""
    values = [-1000] * 400 + [-900] * 100 + [-100] * 200 + list(range(-50, 80)) + list(range(80, 1200, 8))
    return np.clip(np.array(values, np.float32), lowest, highest).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("lowest", "highest", "modality", "expected"),
    [
        (-1024, 3000, "", True),
        (-1000, 265, "", True),  # no bone in it
        (-1000, -300, "", True),  # within the lungs
        (-160, 240, "", False),  # nothing tells it from other images
        (-160, 240, "CT", True),
        (-160, 240, "computed tomography", True),
        (-160, 240, "CT, PET", True),
        (-160, 240, "PET, CT", False),
        (0, 255, "CT", False),  # 8-bit pictures
        (-3, 8, "CT", False),  # deviations from a mean
        (0, 3000, "", False),
        (-1000, 265, "MRI", False),
        (-1000, 265, "X-ray", False),
        (-1000, 265, "noNorm", True),  # names of channels need not be those of modalities
    ],
)
def test_hounsfield_units_are_told_by_the_data_set_or_by_air(lowest, highest, modality, expected):
    assert is_hounsfield(body(lowest, highest), modality) is expected


def test_what_is_called_ct_is_coded_as_ct():
    """A scan without air: 150 codes for the 500 HU of soft tissue, where others spread theirs evenly."""
    values = np.linspace(-600, 900, 4000, dtype=np.float32).clip(-450).reshape(10, 20, 20)
    soft = (values > -200) & (values < 300)
    levels = {name: choose_levels([values], name) for name in ("CT", "MR")}
    errors = {name: np.abs(each[encode(values, each)] - values)[soft].max() for name, each in levels.items()}
    assert errors["CT"] <= 500 / 150 / 2 + 1e-3 < errors["MR"]
