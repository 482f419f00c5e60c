from medseg.workflows.export import _changed


def test_what_a_run_changed_goes_into_a_whole_configuration():
    before = {"epochs": 1, "validate": {"inferer": {"overlap": 0.25, "mode": "gaussian"}, "handlers": [], "old": 1}}
    after = {"epochs": 2, "validate": {"inferer": {"overlap": 0.5, "mode": "gaussian"}, "handlers": ["c"], "old": 1}}
    own = {"epochs": 1, "validate": {"inferer": {"overlap": 0.25, "mode": "gaussian"}, "handlers": ["a"], "old": 3}}
    assert _changed(before, after, own) == {
        "epochs": 2,
        "validate": {"inferer": {"overlap": 0.5, "mode": "gaussian"}, "handlers": ["a", "c"], "old": 3},
    }
    assert own["epochs"] == 1 and own["validate"]["handlers"] == ["a"]


def test_what_is_replaced_or_new_is_taken_as_it_is():
    assert _changed({"a": {"b": 1}, "l": [1]}, {"a": "@c", "l": [2], "n": 3}, {"a": {"b": 2}, "l": [1, 5]}) == {
        "a": "@c",
        "l": [2],
        "n": 3,
    }
