import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from medseg.labels import Labels
from medseg.metrics.confusion import confusion, confusion_rows, summed

LABELS = Labels({"background": 0, "liver": 1, "tumour": 2})
OVERLAPPING = Labels({"background": 0, "organ": [1, 2], "tumour": 2})


def maps(values, seed=0, shape=(7, 8, 9), dtype=np.uint8):
    rng = np.random.default_rng(seed)
    pair = np.zeros((2, *shape), dtype)
    pair[:, 2:6, 1:7, 3:] = rng.choice(values, (2, 4, 6, shape[2] - 3))
    return pair


def test_by_hand():
    """Reference 0 0 1 1 1 2, prediction 0 1 1 1 0 1."""
    reference, prediction = np.array([[0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 1]], np.uint8)
    assert confusion(prediction, reference, LABELS) == {(0, 0): 1, (0, 1): 1, (1, 1): 2, (1, 0): 1, (2, 1): 1}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("labels", [LABELS, OVERLAPPING])
def test_against_scikit_learn(labels, dtype):
    prediction, reference = maps([0, 1, 2], dtype=dtype)
    expected = confusion_matrix(reference.ravel(), prediction.ravel())
    found = confusion(prediction, reference, labels)
    assert [[found[r, p] for p in range(3)] for r in range(3)] == expected.tolist()
    assert found.total() == reference.size


def test_more_values_than_a_byte_holds():
    prediction, reference = maps([0, 5, 130, 399], dtype=np.int32)
    found = confusion(prediction, reference, Labels({"background": 0} | {str(i): i for i in range(1, 400)}))
    expected = confusion_matrix(reference.ravel(), prediction.ravel(), labels=[0, 5, 130, 399])
    assert [[found[r, p] for p in (0, 5, 130, 399)] for r in (0, 5, 130, 399)] == expected.tolist()
    assert found.total() == reference.size


def test_a_value_without_a_name_counts_as_background_and_empty_maps_are_all_background():
    prediction, reference = np.array([[9, 1], [1, 9]], np.uint8)
    assert confusion(prediction, reference, LABELS) == {(1, 0): 1, (0, 1): 1}
    nothing = np.zeros((3, 4, 5), np.uint8)
    assert confusion(nothing, nothing, LABELS) == {(0, 0): 60}
    with pytest.raises(ValueError, match="shapes differ"):
        confusion(nothing, nothing[1:], LABELS)


def test_cases_are_added_and_every_pair_of_values_has_a_row():
    total = summed([{(0, 0): 5, (1, 1): 2}, {(1, 1): 3, (2, 0): 1}])
    rows = confusion_rows(total, OVERLAPPING)
    assert [(r["reference"], r["prediction"], r["voxels"]) for r in rows] == [
        (0, 0, 5), (0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 1, 5), (1, 2, 0), (2, 0, 1), (2, 1, 0), (2, 2, 0)
    ]  # fmt: skip
    assert [row["reference_name"] for row in rows[::3]] == ["background", "1", "tumour"]  # 1 has no name of its own
