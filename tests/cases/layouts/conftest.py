"""Phantoms of layouts, written once, and what tests ask of a data set."""

import functools
import json
import shutil

import pytest

from medseg.cases.layouts import read_data_set
from medseg.cases.phantoms import write_phantom
from medseg.errors import DataError

CASES, SEED = 5, 1


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A function that gives a layout's phantom of five training cases; nobody changes it."""

    @functools.cache
    def write(layout):
        return write_phantom(layout, tmp_path_factory.mktemp("layouts") / layout, CASES, SEED)

    return write


@pytest.fixture
def phantom(written, tmp_path):
    """A function that gives a copy of a layout's phantom, to be changed."""
    return lambda layout: shutil.copytree(written(layout), tmp_path / layout)


@pytest.fixture
def refused():
    """A function that gives the faults for which a folder is refused."""

    def faults(root, **options):
        with pytest.raises(DataError) as caught:
            read_data_set(root, **options)
        return caught.value.faults

    return faults


@pytest.fixture
def describe():
    """A function that changes entries of a `dataset.json`, and removes those that are None."""

    def change(path, **entries):
        content = {**json.loads(path.read_text()), **entries}
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return change
