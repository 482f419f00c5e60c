import pytest
import yaml

from medseg.errors import DataError, UsageError
from medseg.reports.comparison.published import read_published

ENTRY = {
    "method": "nnU-Net",
    "source": "Isensee 2021",
    "data": "MSD Task04",
    "scores": {"liver": {"dice": 0.9, "hd95": 1.5}},
}


def test_a_list_a_file_and_a_study_file_say_the_same(tmp_path):
    row = read_published([ENTRY | {"n": 260, "footnote": "rounded"}])[0]
    assert (row.method, row.n, row.footnote, row.scores["liver"]["hd95"]) == ("nnU-Net", 260, "rounded", 1.5)
    for content in ([ENTRY], {"methods": {}, "published": [ENTRY]}):
        path = tmp_path / "rows.yaml"
        path.write_text(yaml.safe_dump(content))
        assert read_published(path) == read_published([ENTRY])
    path.write_text("methods: {}\n")
    assert read_published(path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {"liver": {"dize": 0.9}}}, "no such metric.*found dize"),
        ({"scores": {"liver": {"dice": "high"}}}, "dice is not a number.*'high'"),
        ({"scores": {"liver": {"dice": True}}}, "dice is not a number"),
        ({"scores": {"liver": {"dice": float("nan")}}}, "dice is not a number"),
        ({"scores": {"liver": {"dice": 90.1}}}, "dice cannot be that.*0 to 1.*90.1.*per cent"),
        ({"scores": {"liver": {"hd95": -1}}}, "hd95 cannot be that"),
        ({"scores": {"liver": 0.9}}, "no scores of liver"),
        ({"scores": {}}, "no scores"),
        ({"source": ""}, "no source"),
        ({"data": None}, "no data"),
        ({"method": 3}, "no method"),
        ({"n": "many"}, "n is no number of cases"),
        ({"n": 0}, "n is no number of cases"),
        ({"footnote": 3}, "the footnote is no text"),
        ({"sauce": "x"}, "a key that is not known.*found sauce"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_entry(change, message):
    with pytest.raises(UsageError, match=rf"E903\] study\.yaml: entry 2 of the published rows.*{message}"):
        read_published([ENTRY, ENTRY | {"source": "other"} | change], "study.yaml")


def test_two_entries_of_one_source_are_refused():
    with pytest.raises(UsageError, match=r"entry 2.*twice.*entry 1 too"):
        read_published([ENTRY, dict(ENTRY)])


@pytest.mark.parametrize("content", ["a: [", "\x00"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path, content):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(DataError, match=r"E105.*bad\.yaml.*cannot be read"):
        read_published(tmp_path / "bad.yaml")
    with pytest.raises(DataError, match=r"E101.*none\.yaml"):
        read_published(tmp_path / "none.yaml")


def test_a_key_that_stands_there_twice_is_refused(tmp_path):
    path = tmp_path / "rows.yaml"
    path.write_text("- {method: a, source: s, data: d, scores: {liver: {dice: 0.9, dice: 0.8}}}\n")
    with pytest.raises(DataError, match=r"E105.*rows\.yaml: cannot be read \('dice' stands there twice.*line 1"):
        read_published(path)


@pytest.mark.parametrize("content", ["3", "text", "published: {a: 1}"])
def test_something_else_than_a_list_is_refused(tmp_path, content):
    (tmp_path / "odd.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"E903.*odd\.yaml.*are a list"):
        read_published(tmp_path / "odd.yaml")
    with pytest.raises(UsageError, match=r"entry 1.*not an entry"):
        read_published(["x"])
