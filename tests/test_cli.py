"""The commands that work on data folders, as a user calls them."""

import io
import tarfile

import numpy as np
import pytest

from medseg import cli


@pytest.fixture
def medseg(monkeypatch, capsys):
    """A function that runs a command and gives its exit code, output and messages."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["medseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return (caught.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path, save):
    root = tmp_path / "data"
    for number in range(3):
        label = np.zeros((6, 5, 4), np.uint8)
        label[1:4, 1:3, number:3] = 2
        image = np.random.default_rng(number).normal(size=label.shape).astype(np.float32)
        save(root / "images" / f"c{number}.nii.gz", image)
        save(root / "labels" / f"c{number}.nii.gz", label)
    return root


def test_cases(medseg, folder):
    code, out, _ = medseg("cases", folder)
    assert code == 0
    assert "layout         flat\ncases          3" in out
    assert "12 axial, 6 of them without label" in medseg("cases", folder, "--drop-empty")[1]


def test_check(medseg, folder, tmp_path):
    code, out, _ = medseg("check", folder, "--out", tmp_path / "check")
    page = tmp_path / "check" / "data" / "check.html"
    assert (code, out.splitlines()) == (0, ["3 cases read: 0 errors, 0 warnings", str(page)])
    assert page.is_file() and page.with_name("findings.csv").is_file()
    code, out, _ = medseg("check", folder, "--out", tmp_path / "check", "--labels", "background=0,liver=1")
    assert code == 1
    assert out.startswith("E301       3  unknown label value: c0 and 2 more\n")
    assert medseg("check", folder, "--out", tmp_path / "check", "--labels", "background=0,liver=1+2")[0] == 0


def test_a_repaired_copy(medseg, folder, tmp_path, save):
    save(folder / "labels" / "c1.nii.gz", np.full((6, 5, 4), 0.9999, np.float32))
    code, out, _ = medseg("check", folder, "--out", tmp_path / "check", "--fix", tmp_path / "fixed")
    assert code == 0
    assert f"1 repairs, listed in {tmp_path / 'fixed' / 'changes.csv'}" in out
    assert "labels/c1.nii.gz" in (tmp_path / "fixed" / "changes.csv").read_text()


def test_folders_and_settings_that_are_refused(medseg, folder, tmp_path):
    for command in ("cases", "check"):
        code, _, err = medseg(command, tmp_path / "none")
        assert (code, err.count("\n")) == (3, 1)
        assert "E101" in err and "none" in err
        assert medseg(command, folder, "--layout", "no_such")[0] == 2
    for labels in ("liver", "liver=1", "background=0,liver=x", "background=0,liver=1,"):
        code, _, err = medseg("check", folder, "--labels", labels)
        assert code == 2 and "E903" in err
    code, _, err = medseg("download", "Task99", tmp_path)
    assert code == 2 and "Task04_Hippocampus" in err


def test_score(medseg, folder, tmp_path, save):
    predictions, out = tmp_path / "predictions", tmp_path / "out"
    for number in range(3):
        shifted = np.zeros((6, 5, 4), np.uint8)
        shifted[2:5, 1:3, number:3] = 2  # by one voxel: two thirds in common
        save(predictions / f"c{number}.nii.gz", shifted)
    arguments = ("score", predictions, folder, "--out", out, "--workers", 1, "--metrics", "dice,hd")
    code, printed, notes = medseg(*arguments, "--labels", "background=0,liver=2", "--by", "location")
    assert code == 0
    assert printed.splitlines()[1].split()[:3] == ["liver", "Dice", "0.667"] and printed.endswith(f"\n{out}\n")
    assert notes.startswith(f"3 cases: predictions from {predictions}")
    assert {path.name for path in out.iterdir()} == {
        "baselines.csv", "cases.csv", "confusion.csv", "figures", "summary.csv", "summary.md",
        "summary.tex"}  # fmt: skip
    rows = (out / "cases.csv").read_text().splitlines()
    assert rows[0].startswith("case,group,label,distance_unit,dice,hd,empties,") and rows[0].endswith(",location")
    assert rows[1].startswith("c0,c0,liver,mm,0.6666666666666666,1.0,,") and len(rows) == 4
    written = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    again = (*arguments, "--labels", "background=0,liver=2", "--by", "location")
    assert medseg(*again)[0] == 3  # tables are there
    assert medseg(*again, "--overwrite")[1] == printed
    assert written == {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_scores_that_are_refused_write_nothing(medseg, folder, tmp_path, save):
    predictions, out = tmp_path / "predictions", tmp_path / "out"
    save(predictions / "c0.nii.gz", np.full((6, 5, 4), 2, np.uint8))
    given = ("score", predictions, folder, "--out", out, "--workers", 1)
    code, _, message = medseg(*given)
    assert code == 3 and "E506" in message and "2 of 3 references have no prediction" in message
    for options, expected, named in (
        (("--labels", "background=0,liver=1"), 3, "E301"),
        (("--labels", "liver"), 2, "E903"),
        (("--metrics", "dise"), 2, "E903"),
        (("--tolerance", "-1"), 2, "E903"),
        (("--labels", "background=0,liver=2", "--tolerance", "spleen=1"), 2, "E903"),
        (("--by", "difficulty"), 2, "difficulty"),
        (("--layout", "none"), 2, "E903"),
        (("--table", tmp_path / "none.csv"), 3, "E101"),
        (("--probabilities", predictions), 2, "E903"),
        (("--out", predictions / "out"), 3, "E503"),
        (("--workers", 0), 2, "workers"),
        (("--seed", -1), 2, "seed"),
        (("--out", "/proc/none"), 3, "E701"),
    ):
        code, printed, message = medseg(*given, "--only-predicted", *options)
        assert (code, printed) == (expected, "") and named in message, options
    assert medseg("score", tmp_path / "none", folder, "--out", out)[0] == 3
    assert not out.exists() and len(list(predictions.iterdir())) == 1
    assert medseg(*given, "--only-predicted")[0] == 0


def test_download(medseg, tmp_path, monkeypatch):
    from monai.apps import DecathlonDataset

    archive = tmp_path / "Task09_Spleen.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("Task09_Spleen/dataset.json"), io.BytesIO())
    monkeypatch.setitem(DecathlonDataset.resource, "Task09_Spleen", archive.as_uri())
    monkeypatch.setitem(DecathlonDataset.md5, "Task09_Spleen", None)
    code, out, _ = medseg("download", "spleen", tmp_path / "data")
    assert (code, out) == (0, f"{tmp_path / 'data' / 'Task09_Spleen'}\n")


def test_the_source_is_not_written_into(medseg, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    for arguments in ((".",), (folder, "--out", folder / "out")):
        code, _, err = medseg("check", *arguments)
        assert code == 3 and "E503" in err
    assert sorted(folder.rglob("*")) == before
