import pytest

from medseg.cases.score_settings import parse_settings, parse_strata, parse_tolerance, tables_folder
from medseg.errors import DataError, UsageError
from medseg.metrics.catalogue import OF_LABEL_MAPS, OF_PROBABILITIES, USUAL


def refused(parse, *arguments):
    with pytest.raises((DataError, UsageError)) as caught:
        parse(*arguments)
    return caught.value.faults[0].code


def test_probabilities_bring_their_metrics_and_are_asked_for():
    assert parse_settings(None, "dice", "1.0", True).metrics == ("dice", *OF_PROBABILITIES)
    assert parse_settings(None, "dice,brier", "1.0", True).metrics == ("dice", "brier")
    assert refused(parse_settings, None, "dice,brier", "1.0") == "E903"


def test_metrics_by_name():
    assert parse_settings(None, None, "1.0").metrics == USUAL
    assert parse_settings(None, "all", "1.0").metrics == tuple(OF_LABEL_MAPS)
    assert parse_settings(None, "hd, dice,hd", "1.0").metrics == ("hd", "dice")
    for text in ("", "dice,", "Dice", "dice;hd"):
        assert refused(parse_settings, None, text, "1.0") == "E903"


def test_labels_and_tolerances():
    settings = parse_settings("background=0,liver=1+2,tumour=2", None, "liver=2,tumour=0.5")
    assert settings.labels.values == {"background": (0,), "liver": (1, 2), "tumour": (2,)}
    assert settings.tolerance_mm == {"liver": 2.0, "tumour": 0.5}
    assert parse_tolerance("0") == 0.0
    for text in ("", "-1", "nan", "inf", "far", "liver=", "liver=-1", "liver=1,liver=2", "liver=1=2", "1,2"):
        assert refused(parse_tolerance, text) == "E903"


def test_columns_and_where_they_are_cut():
    assert parse_strata([]) == {}
    assert parse_strata(["location", "age=40,60.5"]) == {"location": None, "age": (40.0, 60.5)}
    for text in ("age=", "age=60,40", "age=40,40", "age=old", "age=nan"):
        assert refused(parse_strata, [text]) == "E903"


def test_tables_never_go_where_something_is_read_or_kept(tmp_path):
    for name in ("predictions", "references", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "record.json").write_text("{}")
    (tmp_path / "file").write_text("")
    inputs = [tmp_path / "predictions", tmp_path / "references"]
    for out in ("predictions", "predictions/scores", "references/../references/x", "run", "file"):
        with pytest.raises(DataError, match="E503"):
            tables_folder(tmp_path / out, inputs)
    assert tables_folder(tmp_path / "scores", inputs) == tmp_path / "scores"
    assert tables_folder(tmp_path, inputs) == tmp_path


def test_tables_never_take_the_place_of_something_else(tmp_path):
    """What an earlier scoring left may go where that is said; a folder of its name, or the table that is read, not."""
    out = tmp_path / "out"
    assert tables_folder(out, []) == out and not out.exists()
    out.mkdir()
    (out / "cases.csv").write_text("case\n")
    assert refused(tables_folder, out, []) == "E503"
    assert tables_folder(out, [], None, True) == out and [path.name for path in out.iterdir()] == ["cases.csv"]
    assert refused(tables_folder, out, [], out / "cases.csv", True) == "E503"
    (out / "summary.md").mkdir()
    assert refused(tables_folder, out, [], None, True) == "E503"
    (out / "summary.md").rmdir()
    (out / "figures").write_text("")
    assert refused(tables_folder, out, [], None, True) == "E503"
