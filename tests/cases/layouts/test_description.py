"""The label tables of `dataset.json`, in the Decathlon's form and in nnU-Net's."""

import json

import pytest

from medseg.cases.layouts import description
from medseg.errors import DataError


@pytest.fixture
def told(tmp_path):
    """A function that writes a description and gives its path."""

    def write(**content):
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ({"0": "background", "1": "liver"}, {"background": (0,), "liver": (1,)}),
        ({"background": 0, "liver": 1}, {"background": (0,), "liver": (1,)}),
        (
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3]},
            {"background": (0,), "whole": (1, 2, 3), "core": (2, 3)},
        ),
        ({"0": "background", "1": "lung", "2": "lung"}, {"background": (0,), "lung": (1, 2)}),
        ({"background": 0, "liver": 1, "ignore": 2}, {"background": (0,), "liver": (1,)}),
    ],
)
def test_tables_of_labels(told, table, values):
    assert description.labels(told(labels=table)).values == values


def test_a_label_of_that_name_in_the_decathlons_form_is_a_label(told):
    assert description.labels(told(labels={"0": "background", "1": "ignore"})).foreground == ["ignore"]


def test_the_value_to_ignore(told):
    assert description.ignore_value(told(labels={"background": 0, "liver": 1, "ignore": 2})) == 2
    assert description.ignore_value(told(labels={"background": 0, "liver": 1})) is None


def test_no_table_of_labels(told):
    assert description.labels(told(name="x")) is None


@pytest.mark.parametrize(
    "table",
    [{}, [], 3, ["liver"], {"liver": 1}, {"1": "liver"}, {"background": 0, "liver": "1"},
     {"background": 0, "liver": -1}, {"background": 0, "liver": []}, {"background": 0, "liver": 1.5},
     {"background": 0, "liver": {"a": 1}}, {"0": "background", "1": 3}, {"0": "background", "1": ["liver"]},
     {"background": 0, "liver": None}, {"background": 0, "liver": True}, {"background": 0, "liver": [[1]]}],
)  # fmt: skip
def test_tables_that_are_none(told, table):
    path = told(labels=table)
    with pytest.raises(DataError) as caught:
        description.labels(path)
    (fault,) = caught.value.faults
    assert (fault.code, fault.file) == ("E104", path)
    assert "not a table of labels" in fault.what


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"3", b""])
def test_descriptions_that_are_none(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        description.read(path)
    assert (caught.value.faults[0].code, caught.value.faults[0].file) == ("E104", path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text('{"training": []}', encoding="utf-8-sig")
    assert description.read(path) == {"training": []}
