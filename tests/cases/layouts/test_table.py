import pytest

from medseg.cases.layouts import table
from medseg.errors import DataError


@pytest.fixture
def written(tmp_path):
    """A function that writes bytes and gives their path."""

    def write(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content)
        return path

    return write


def test_rows_with_missing_values_and_quotes(written):
    path = written('\ufeff a ,b,c\r\n 1 ,"x, y"\r\n\r\nä,,3\r\n'.encode())
    assert table.rows(path) == [{"a": "1", "b": "x, y", "c": ""}, {"a": "ä", "b": "", "c": "3"}]
    assert table.start(path) == [["a", "b", "c"], ["1", "x, y"]]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_semicolons_and_tabs_part_values_too(written, mark):
    path = written(f'\ufeff"a, b"{mark}c\n"1{mark}2"{mark}3,5\n'.encode())
    assert table.rows(path) == [{"a, b": f"1{mark}2", "c": "3,5"}]
    assert table.start(path) == [["a, b", "c"], [f"1{mark}2", "3,5"]]


def test_two_columns_of_one_name_are_refused(written):
    path = written(b"a,b,a,,\n1,2,3,,\n")
    with pytest.raises(DataError) as caught:
        table.rows(path)
    (fault,) = caught.value.faults
    assert (fault.code, fault.what, fault.found, fault.file) == ("E104", "two columns have one name", "a", path)


def test_a_table_without_rows(written):
    assert table.rows(written(b"a,b\n")) == []
    assert table.rows(written(b"")) == []
    assert table.start(written(b"")) == []


@pytest.mark.parametrize("content", [b"a\n1,2\n", b"a\n\xff\n", b'a\n"' + b"x" * 200_000 + b'"\n'])
def test_files_that_are_no_tables(written, content):
    path = written(content)
    with pytest.raises(DataError) as caught:
        table.rows(path)
    assert (caught.value.faults[0].code, caught.value.faults[0].file) == ("E104", path)
