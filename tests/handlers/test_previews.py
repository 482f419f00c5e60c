import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from medseg.geometry import Geometry
from medseg.handlers import Previews
from medseg.volumes import Volume, write_volume
from medseg.volumes.overlay import draw_rebuilt
from medseg.volumes.stack import read_stack

LABELS = {"background": 0, "thing": 1}
SHAPE = (24, 20, 16)


def drawn(tmp_path, codes_affine, limit=None, cases=2, reference=True):
    """The previews of an evaluation in which image, label and prediction hold one bright corner."""
    array = np.zeros(SHAPE, np.float32)
    array[:8, :6, :5] = 100.0
    path = write_volume(tmp_path / "image.nii.gz", Volume(array, Geometry(codes_affine, SHAPE)))
    mask = MetaTensor(torch.from_numpy(array[None] > 0).float(), torch.from_numpy(codes_affine),
                      {"filename_or_obj": str(path)})  # fmt: skip

    def step(engine, number):
        engine.state.batch = [{"case": f"case_{number}", "modality": "CT"}]
        return [{"pred": mask, "label": mask if reference else None}]

    engine = Engine(step)
    Previews(tmp_path, LABELS, limit=limit).attach(engine)
    engine.run(list(range(cases)))
    return {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in (tmp_path / "previews").glob("*.png")}


def test_one_picture_a_case(tmp_path):
    pictures = drawn(tmp_path, np.eye(4))
    assert sorted(pictures) == ["case_0", "case_1"] and all(picture.std() > 10 for picture in pictures.values())


def test_a_limit(tmp_path):
    assert sorted(drawn(tmp_path, np.eye(4), limit=1, cases=3)) == ["case_0"]


def test_without_a_reference(tmp_path):
    assert sorted(drawn(tmp_path, np.eye(4), reference=False)) == ["case_0", "case_1"]


def test_the_picture_shows_the_patient_whatever_the_storage_order(tmp_path):
    """The same patient stored towards RAS and towards LPS gives the same picture."""
    flipped = np.diag([-1.0, -1.0, 1.0, 1.0])
    flipped[:2, 3] = 23.0, 19.0  # voxel (0, 0) of LPS storage is the voxel (23, 19) of RAS storage
    ras, lps = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    ras[:8, :6, :5] = lps[16:, 14:, :5] = 100.0
    assert np.array_equal(lps[::-1, ::-1], ras)
    pictures = []
    for name, array, affine in (("ras", ras, np.eye(4)), ("lps", lps, flipped)):
        folder = tmp_path / name
        path = write_volume(folder / "image.nii.gz", Volume(array, Geometry(affine, SHAPE)))
        mask = MetaTensor(torch.from_numpy(array[None].copy() > 0).float(), torch.from_numpy(affine),
                          {"filename_or_obj": str(path)})  # fmt: skip
        engine = Engine(lambda engine, number, mask=mask: step_of(engine, mask))
        Previews(folder, LABELS).attach(engine)
        engine.run([0])
        pictures.append((folder / "previews" / "case.png").read_bytes())
    assert pictures[0] == pictures[1]


def step_of(engine, mask):
    engine.state.batch = [{"case": "case"}]
    return [{"pred": mask, "label": mask}]


def test_slices_beside_each_picture(tmp_path):
    drawn(tmp_path, np.diag([-1.0, 1.0, 2.0, 1.0]), limit=1)
    assert [path.name for path in (tmp_path / "previews").glob("*.npz")] == ["case_0.npz"]
    stack = read_stack(tmp_path / "previews/case_0.npz")
    assert stack.labels.foreground == ["thing"] and stack.spacing_mm == (1.0, 1.0, 2.0)
    # Stored towards the patient's left: what has the first index there has the last ones here.
    for found in (stack.intensities() > 0, *(mask == 1 for mask in stack.masks.values())):
        assert found[16:, :6, :5].all() and found.sum() == 8 * 6 * 5


@pytest.mark.parametrize(("cases", "limit", "kept"), [(2, None, 300), (13, None, 150), (2, 2, 150)])
def test_of_few_cases_that_are_all_drawn_slices_are_kept_finer(tmp_path, monkeypatch, cases, limit, kept):
    """A slice of 300 pixels is reduced by 2 beyond 256 pixels, where the page has many cases to show."""
    shape = (300, 20, 3)
    path = write_volume(tmp_path / "image.nii.gz", Volume(np.zeros(shape, np.float32), Geometry(np.eye(4), shape)))
    mask = MetaTensor(torch.zeros(1, *shape), torch.eye(4), {"filename_or_obj": str(path)})
    monkeypatch.setattr("medseg.handlers.previews.draw_case", lambda *given, **more: b"")
    engine = Engine(lambda engine, number: step_of(engine, mask))
    Previews(tmp_path, LABELS, limit=limit).attach(engine)
    engine.run(list(range(cases)))
    stack = read_stack(tmp_path / "previews/case.npz")
    assert (stack.size[0], stack.shape) == (kept, shape)


def test_slices_say_what_the_data_set_calls_the_image(tmp_path):
    drawn(tmp_path, np.eye(4), limit=1)
    assert read_stack(tmp_path / "previews/case_0.npz").modality == "CT"


def test_slices_without_a_reference(tmp_path):
    drawn(tmp_path, np.eye(4), cases=1, reference=False)
    assert list(read_stack(tmp_path / "previews/case_0.npz").masks) == ["prediction"]


def test_a_case_that_pages_cannot_scroll_through_has_its_picture_and_the_log_says_why(tmp_path, caplog):
    """A stack holds 255 labels; this prediction has 300."""
    array = (np.arange(np.prod(SHAPE), dtype=np.float32) % 301).reshape(SHAPE)
    path = write_volume(tmp_path / "image.nii.gz", Volume(array, Geometry(np.eye(4), SHAPE)))
    mask = MetaTensor(torch.from_numpy(array[None]), torch.eye(4), {"filename_or_obj": str(path)})
    engine = Engine(lambda engine, number: step_of(engine, mask))
    Previews(tmp_path, LABELS).attach(engine)
    engine.run([0])
    assert [path.suffix for path in (tmp_path / "previews").iterdir()] == [".png"]
    assert "at most 255 labels, found 300" in caplog.text


def test_of_rebuilt_images_what_was_made_of_them(tmp_path):
    """A prediction with fractions is no label map: image, reconstruction and difference, and no slices of masks."""
    image = MetaTensor(torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)))

    def step(engine, number):
        engine.state.batch = [{"case": "rebuilt"}]
        return [{"pred": image * 0.5, "label": image}]

    engine = Engine(step)
    Previews(tmp_path, LABELS).attach(engine)
    engine.run([0])
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["rebuilt.png"]
    expected = draw_rebuilt(image[0].numpy(), 0.5 * image[0].numpy(), Geometry(np.eye(4), SHAPE), "rebuilt")
    assert (tmp_path / "previews" / "rebuilt.png").read_bytes() == expected
