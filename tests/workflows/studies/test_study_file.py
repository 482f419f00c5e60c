import pytest

from medseg.errors import DataError, UsageError
from medseg.workflows.studies.study_file import (
    Method,
    budget_equal,
    budget_subset,
    chosen_budget,
    chosen_methods,
    is_folder_name,
    read_study_file,
)

GOOD = """
methods:
  default: {}
  wide: {method: wide}
  wide_slow: {method: wide, settings: {learning_rate: 1.0e-4}}
budgets:
  tiny: {epochs: 2, validations: 1}
  hours: {minutes: 7.5}
equal: updates
published:
- {method: theirs, source: a paper, data: other cases, scores: {liver: {dice: 0.9}}}
"""


@pytest.fixture
def bundle(tmp_path):
    """A function that writes a study.yaml into a bundle with the delta wide.yaml, and reads it."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "wide.yaml").write_text("{}")

    def read(text):
        (tmp_path / "configs" / "study.yaml").write_text(text)
        return read_study_file(tmp_path)

    return read


def test_what_a_study_names(bundle):
    file = bundle(GOOD)
    assert file.methods == (Method("default"), Method("wide", "wide"),
                            Method("wide_slow", "wide", {"learning_rate": 1e-4}))  # fmt: skip
    assert file.budgets == {"tiny": {"epochs": 2, "validations": 1}, "hours": {"minutes": 7.5}}
    assert file.equal == "updates" and file.published
    assert chosen_budget(file, "hours") == {"minutes": 7.5}
    assert [method.name for method in chosen_methods(file, ["wide_slow", "default"])] == ["default", "wide_slow"]
    assert len(chosen_methods(file, None)) == 3
    with pytest.raises(UsageError, match=r"E901.*no method is named"):
        chosen_methods(file, [])


def test_a_budget_may_say_itself_what_is_equal(bundle):
    file = bundle(
        GOOD.replace("hours: {minutes: 7.5}", "hours: {minutes: 7.5, equal: time}\n  paper: {equal: own, x: 1}")
    )
    assert [budget_equal(file, name) for name in ("tiny", "hours", "paper")] == ["updates", "time", "own"]
    assert chosen_budget(file, "hours") == {"minutes": 7.5} and chosen_budget(file, "paper") == {"x": 1}
    assert budget_equal(bundle(GOOD.replace("equal: updates", "")), "tiny") is None
    for name in ("chosen_budget", "budget_equal"):
        with pytest.raises(UsageError, match="E901"):
            {"chosen_budget": chosen_budget, "budget_equal": budget_equal}[name](file, "huge")


def test_a_budget_may_say_which_cases_are_scored(bundle):
    file = bundle(GOOD.replace("hours: {minutes: 7.5}", "hours: {minutes: 7.5}\n  paper: {equal: own, subset: test}"))
    assert [budget_subset(file, name) for name in ("hours", "paper")] == ["validate", "test"]
    assert budget_subset(bundle(GOOD.replace("7.5}", "7.5, subset: null}")), "hours") == "validate"
    assert chosen_budget(file, "paper") == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("hours: {minutes: 7.5}", "hours: {minutes: 7.5, subset: all}", "budgets: hours: subset: .*validate or test"),
     ("hours: {minutes: 7.5}", "hours: {equal: own, epochs: 2}", "neither with equal: own"),
     ("hours: {minutes: 7.5}", "hours: {equal: money, epochs: 2}", "budgets: hours: equal: not what"),
     ("equal: updates", "equals: updates", r"unknown key.*found equals.*did you mean 'equal'"),
     ("equal: updates", "equal: money", "equal: not what a study takes; expected updates or time"),
     ("{method: wide}", "{methods: wide}", r"methods: wide: unknown key.*did you mean 'method'"),
     ("{method: wide}", "{method: wid}", "methods: wide: method: .*expected one of wide; found 'wid'"),
     ("{method: wide}", "wide", "methods: wide: not what a study takes"),
     ("learning_rate: 1.0e-4", "seed: 4", "methods: wide_slow: the study sets this for every run; found seed"),
     ("learning_rate: 1.0e-4", "epochs: 4", "found epochs"),
     ("learning_rate: 1.0e-4", "held_out: 0.5", "found held_out"),
     ("learning_rate: 1.0e-4", "labels::liver: 1", "found labels::liver"),
     ("settings: {learning_rate: 1.0e-4}", "settings: [1]", "methods: wide_slow: settings"),
     ("  default:", "  a/b:", "methods: a/b: not what a study takes; expected a name"),
     ("  default:", "  figures:", "methods: figures"),
     ("{minutes: 7.5}", "{minutes: 7.5, epochs: 3}", "budgets: hours: .*epochs or minutes, one of the two"),
     ("{minutes: 7.5}", "{minutes: -1}", "budgets: hours: minutes: .*above 0; found -1"),
     ("{epochs: 2, validations: 1}", "{epochs: 2.5}", "budgets: tiny: epochs"),
     ("{epochs: 2, validations: 1}", "{validations: 1}", "budgets: tiny"),
     ("{epochs: 2, validations: 1}", "{epochs: 2, resume: true}", "found resume"),
     ("dice: 0.9", "dise: 0.9", "dise")],
)  # fmt: skip
def test_what_makes_no_sense_is_named_with_its_entry(bundle, old, new, words):
    assert GOOD.count(old) == 1
    with pytest.raises(UsageError, match=rf"E903.*study.yaml.*{words}|E903.*{words}"):
        bundle(GOOD.replace(old, new))


def test_all_faults_come_at_once(bundle):
    with pytest.raises(UsageError) as found:
        bundle("methods: {wide: {method: none}, default: {x: 1}}\nbudgets: {}\nequals: time\n")
    assert len(found.value.faults) == 4


@pytest.mark.parametrize("text", ["a: [", "- 1", "methods: {}", ""])
def test_what_is_no_study_at_all(bundle, text):
    with pytest.raises((DataError, UsageError), match=r"study\.yaml"):
        bundle(text)


def test_a_name_that_stands_there_twice(bundle):
    with pytest.raises(DataError, match=r"E105.*'wide' stands there twice.*line 5"):
        bundle(GOOD.replace("  wide_slow:", "  wide:"))


def test_a_bundle_without_one(tmp_path):
    with pytest.raises(DataError, match=r"E101.*names no study.*medseg sweep"):
        read_study_file(tmp_path)


@pytest.mark.parametrize("name", ["budget", "method"])
def test_what_the_file_does_not_name(bundle, name):
    file = bundle(GOOD)
    with pytest.raises(UsageError, match=r"E901.*did you mean"):
        chosen_budget(file, "hour") if name == "budget" else chosen_methods(file, ["wise"])


def test_names_of_folders():
    assert all(map(is_folder_name, ("U-Net", "learning_rate=0.001,batch_size=2", "Größe", "a" * 120)))
    assert not any(map(is_folder_name, ("", "..", ".x", "-x", "a/b", "a b", "a" * 121, "logs", "<b>", "a\n")))
