import pytest

from medseg.cases.phantoms import write_phantom
from medseg.errors import DataError, UsageError
from medseg.workflows.bundles import find_bundle
from medseg.workflows.studies.first_look import look_first
from medseg.workflows.studies.study_file import Method


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_phantom("hippocampus_mri", tmp_path_factory.mktemp("look") / "data", 5)


def look(data, *methods, **settings):
    return look_first(find_bundle("hippocampus_mri").absolute(), str(data), methods, settings)


def test_what_a_look_finds(data):
    """Four of five phantoms are trained on: two updates of two, four of one."""
    found = look(data, Method("a"), Method("b", "segresnet"), Method("c", None, {"batch_size": 1}), batch_size=2)
    assert found.cases == {"train": 4, "validate": 1, "test": 2}
    assert found.steps == {"a": 2, "b": 2, "c": 4}
    assert len(set(found.configurations.values())) == 3
    assert found.labels == ("anterior", "posterior")


def test_the_split_hangs_on_the_cases_and_on_nothing_else(data, tmp_path):
    split = look(data, Method("a")).split
    assert look(write_phantom("hippocampus_mri", tmp_path / "copy", 5), Method("b", "segresnet"), seed=4).split == split
    assert look(data, Method("a"), split_seed=3).split != split
    assert look(data, Method("a"), fold=1).split != split
    assert look(write_phantom("hippocampus_mri", tmp_path / "other", 5, seed=1), Method("a")).split != split


def test_every_key_is_checked_before_the_data_are_read():
    with pytest.raises(UsageError, match=r"slow: unknown key 'learning_rat'.*did you mean 'learning_rate'"):
        look("nowhere", Method("a"), Method("slow", None, {"learning_rat": 1}))
    with pytest.raises(UsageError, match=r"slow: .*DynUNet takes no argument 'filter'"):
        look("nowhere", Method("slow", None, {"network_def": {"_target_": "DynUNet", "filter": 3}}))


@pytest.mark.parametrize("rate", ["abc", -1.0])
def test_an_optimizer_that_cannot_be_built_is_named_before_the_data_are_read(rate):
    expected = (
        r"E903.*slow: train::optimizer cannot be built; found (TypeError|ValueError): .*(str|Invalid learning rate)"
    )
    with pytest.raises(UsageError, match=expected):
        look("nowhere", Method("a"), Method("slow", "segresnet", {"learning_rate": rate}))


def test_a_network_that_cannot_be_built_is_named_before_the_data_are_read():
    with pytest.raises(UsageError, match=r"E903.*odd: train::optimizer cannot be built.*ValueError"):
        look("nowhere", Method("odd", None, {"network_def::strides": [1, 2]}))


def test_what_is_wrong_with_the_data_is_said_in_one_line(tmp_path):
    with pytest.raises(DataError, match="E101"):
        look(tmp_path / "nowhere", Method("a"))


def test_methods_of_other_cases_are_refused(data):
    with pytest.raises(UsageError, match=r"would not be scored on the same cases; .*found b: .*'fold': 1"):
        look(data, Method("a"), Method("b", None, {"cases::fold": 1}))
