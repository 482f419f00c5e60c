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
