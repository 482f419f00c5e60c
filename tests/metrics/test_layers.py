import numpy as np
import pytest

from medseg.labels import Labels
from medseg.metrics.layers import layers


def test_names_that_share_no_value_come_together():
    labels = Labels({"background": 0, "spleen": 3, "liver": [1, 2], "tumour": 2})
    assert [layer.names for layer in layers(labels)] == [("liver", "spleen"), ("tumour",)]


def test_a_layer_has_255_names_at_most():
    labels = Labels({"background": 0} | {str(value): value for value in range(1, 400)})
    dealt = list(layers(labels))
    assert [len(layer.names) for layer in dealt] == [255, 144]
    label_map = np.arange(400, dtype=np.uint16)
    assert dealt[0].codes(label_map).tolist() == [*range(256), *[0] * 144]
    assert dealt[1].codes(label_map).tolist() == [0] * 256 + [*range(1, 145)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_codes_number_the_names_and_leave_out_what_has_none(dtype):
    layer = next(layers(Labels({"background": 0, "b": [5, 300], "a": [2, 3]})))
    label_map = np.array([[0, 1, 2], [3, 4, 5]], dtype)
    assert layer.names == ("a", "b")
    assert layer.codes(label_map).tolist() == [[0, 0, 1], [1, 0, 2]]
    assert layer.codes(np.asfortranarray(label_map)[:, ::-1]).tolist() == [[1, 0, 0], [2, 0, 1]]


def test_a_map_that_holds_the_codes_is_not_copied():
    layer = next(layers(Labels({"background": 0, "b": 2, "a": 1})))
    label_map = np.array([0, 1, 2, 1], np.uint8)
    assert np.shares_memory(layer.codes(label_map), label_map)
    assert layer.codes(np.array([0, 1, 2, 3], np.uint8)).tolist() == [0, 1, 2, 0]


def test_zero_in_a_union_is_known():
    assert [layer.holds_zero for layer in layers(Labels({"background": [0, 4], "a": 1}))] == [True]
    assert [layer.holds_zero for layer in layers(Labels({"background": 0, "a": 1}))] == [False]
