import pytest

from medseg.cases.score_columns import refuse_columns, refuse_strata, with_table
from medseg.cases.score_pairs import Pair, Pairs
from medseg.errors import DataError, UsageError


def found(*cases, left_out=(), **columns):
    return Pairs([Pair(case, case, (), (), columns=columns) for case in cases], list(left_out), None, [])


@pytest.fixture
def csv(tmp_path):
    """A function that writes a table."""

    def write(text):
        (tmp_path / "t.csv").write_text(text)
        return tmp_path / "t.csv"

    return write


def codes(pairs, path):
    with pytest.raises(DataError) as caught:
        with_table(pairs, path)
    return [fault.code for fault in caught.value.faults]


def test_patients_and_further_columns(csv):
    pairs = with_table(found("a", "b", modality="CT"), csv("Case ID;Patient;Difficulty\nb;p1;hard\na;;easy\n"))
    assert [(pair.case, pair.group) for pair in pairs] == [("a", "a"), ("b", "p1")]
    assert [pair.columns for pair in pairs] == [{"modality": "CT", "Difficulty": word} for word in ("easy", "hard")]


def test_every_case_has_one_row_and_every_row_a_case(csv):
    assert codes(found("a", "b"), csv("case,x\na,1\nc,2\nc,3\n")) == ["E501", "E506", "E506"]
    rows = csv("case,x\na,1\nb,2\n")
    assert codes(found("a"), rows) == ["E506"]
    assert with_table(found("a", left_out=["b"]), rows)[0].columns == {"x": "1"}  # known, and not scored


def test_tables_that_are_refused(csv, tmp_path):
    assert codes(found("a"), tmp_path / "none.csv") == ["E101"]
    for text in ("", "name,x\na,1\n", "case,id\na,a\n", "case,patient,subject\na,1,2\n", "case,x,x\na,1,2\n"):
        assert codes(found("a"), csv(text)) == ["E104"]
    assert codes(found("a", age="40"), csv("case,age\na,41\n")) == ["E104"]


def test_columns_with_the_names_of_scores():
    refuse_columns(found("a", age="40").pairs)
    for name in ("dice", "Label", "roc_auc", "spacing_mm", "subset"):
        with pytest.raises(DataError, match=name):
            refuse_columns(found("a", **{name: "1"}).pairs)


def test_strata_are_columns_that_will_be_there():
    pairs = found("a", age="40", site="x").pairs
    known = ["location", "thickness_mm", "age", "reference_ml", "subset", "group", "components"]
    refuse_strata(dict.fromkeys(known) | {"age": (30.0, 50.0)}, pairs, ["components"])
    with pytest.raises(UsageError, match="difficulty") as caught:
        refuse_strata({"age": None, "difficulty": None}, pairs)
    assert "age" in caught.value.faults[0].expected
    with pytest.raises(UsageError, match=r"cut holds text.*site: x"):
        refuse_strata({"site": (1.0,)}, pairs)


def test_patients_that_are_not_known_are_not_one_patient(csv):
    pairs = with_table(found("a", "b", "c"), csv("case,patient\na,NA\nb,n/a\nc,p1\n"))
    assert [pair.group for pair in pairs] == ["a", "b", "p1"]
