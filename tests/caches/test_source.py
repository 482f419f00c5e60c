import functools
import importlib
import subprocess
import sys

import numpy as np
import pytest
from monai.transforms import Compose, Identityd, Lambdad, ScaleIntensityd

from medseg.caches import CachedDataset
from medseg.caches.source import sources
from medseg.transforms import ReadImaged

MINE = """
from monai.transforms import MapTransform
import aid

FACTOR = 1.0

def product(value):
    return aid.times(value) * FACTOR

def scaled(value, by):
    return value * 1.5 * by

class Base(MapTransform):
    def __call__(self, data):
        return dict(data) | {key: data[key] * 1.25 for key in self.keys}

class Mine(Base):
    pass
"""
AID = """
import functools

@functools.cache
def factor():
    return 1.75

def times(value):
    return value * factor()
"""
STEPS = {
    "function": lambda mine: Lambdad("image", mine.product),
    "partial": lambda mine: Lambdad("image", functools.partial(mine.scaled, by=1)),
    "class": lambda mine: mine.Mine("image"),
}
CHANGES = {
    "a constant": ("function", "mine.py", "FACTOR = 1.0", "FACTOR = 16.0", 28.0),
    "a cached helper elsewhere": ("function", "aid.py", "1.75", "28.0 + 0", 28.0),
    "a partial's function": ("partial", "mine.py", "1.5", "28.0 + 0", 28.0),
    "the base of a class": ("class", "mine.py", "1.25", "28.0", 28.0),
}


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A function that imports the user's own module as its files are by now, as a new process would."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "aid.py").write_text(AID)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load():
        for name in ("mine", "aid"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("mine")

    yield load
    for name in ("mine", "aid"):
        sys.modules.pop(name, None)


@pytest.fixture
def largest(tmp_path):
    """A function that gives the largest voxel of an image of ones after a step, through the cache."""
    np.save(tmp_path / "image.npy", np.ones((3, 4, 5), np.float32))

    def compute(step):
        items = [{"image": str(tmp_path / "image.npy")}]
        return float(CachedDataset(items, Compose([ReadImaged("image"), step]), tmp_path / "cache")[0]["image"].max())

    return compute


@pytest.mark.parametrize("change", CHANGES)
def test_other_code_under_the_same_names_is_computed_again(fresh, largest, tmp_path, change):
    kind, file, before, after, wanted = CHANGES[change]
    first = largest(STEPS[kind](fresh()))
    (tmp_path / file).write_text((tmp_path / file).read_text().replace(before, after))
    assert first < 2
    assert largest(STEPS[kind](fresh())) == wanted


def test_what_was_imported_counts_beside_the_file_as_it_is_by_now(fresh, largest, tmp_path):
    """A notebook's module runs as it was imported, while its file is edited already."""
    step = STEPS["class"](fresh())
    (tmp_path / "mine.py").write_text(MINE.replace("1.25", "28.0"))
    assert largest(step) == 1.25
    assert largest(STEPS["class"](fresh())) == 28.0


def _sources_of_all(mine):
    return sources([step(mine) for step in STEPS.values()])


def test_the_same_code_is_known_again(fresh):
    first = _sources_of_all(fresh())
    assert first == _sources_of_all(fresh())
    assert set(first) == {"mine.product", "mine.FACTOR", "mine.scaled", "mine.Base", "mine.Mine", "aid.times",
                          "aid.factor"}  # fmt: skip


def test_libraries_are_known_by_their_versions():
    assert not any(sources([Identityd("image"), ScaleIntensityd("image"), Lambdad("image", np.square)]).values())
    assert not any(name.startswith(("monai", "torch", "numpy")) for name in sources([ReadImaged("image")]))


def test_medsegs_own_code_counts():
    found = sources([ReadImaged("image")])
    assert "class ReadImaged" in found["medseg.transforms.read.ReadImaged"]
    assert "def read_volume" in found["medseg.volumes.read_volume"]


def test_what_else_was_imported_does_not_count():
    """A package has its modules as attributes once they are imported: SimpleITK's are when a series is read."""
    program = (
        "import sys, medseg.caches.source, medseg.transforms\n"
        "steps = [medseg.transforms.ReadImaged('image')]\n"
        "before = medseg.caches.source.sources(steps)\n"
        "assert 'medseg.volumes.dicom' not in sys.modules\n"
        "import medseg.volumes.dicom, medseg.workflows\n"
        "assert medseg.caches.source.sources(steps) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_code_without_source_counts_by_what_it_compiles_to(monkeypatch):
    found = []
    for body in ("value + 1", "value + 2"):
        space = {"__name__": "typed_in"}
        exec(f"def step(value):\n    return {body}", space)
        module = type(sys)("typed_in")
        module.step = space["step"]
        monkeypatch.setitem(sys.modules, "typed_in", module)
        found.append(sources([Lambdad("image", module.step)]))
    assert found[0].keys() == found[1].keys() == {"typed_in.step"}
    assert found[0] != found[1]
