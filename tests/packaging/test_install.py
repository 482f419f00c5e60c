"""The wheel and an editable install carry the bundles, and copies of them run outside the checkout."""

import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("medseg", "bundles", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"ignore": ignored} if copy is shutil.copytree else {}))
    return folder


def environment(folder, *install):
    """A new environment that sees this one's libraries (but not its medseg) and installs medseg as asked."""
    venv.create(folder, symlinks=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    libraries = [path for path in [*site.getsitepackages(), *sys.path] if path.endswith("site-packages")]
    (packages / "libraries.pth").write_text("\n".join(dict.fromkeys(libraries)) + "\n")  # read after medseg's own
    python = str(folder / "bin" / "python")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--ignore-installed",
        *install,
    ]
    subprocess.run(command, check=True, env=clean())
    return folder / "bin"


def clean():
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def ask(command, cwd):
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True, cwd=cwd, env=clean()
    ).stdout


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_bundles_travel_with_the_package(kind, checkout, tmp_path):
    if kind == "wheel":
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
        subprocess.run([*build, str(checkout)], check=True, capture_output=True)
        wheel = next((tmp_path / "dist").glob("medseg-*.whl"))
        binaries = environment(tmp_path / "env", str(wheel))
        shutil.rmtree(checkout / "build", ignore_errors=True)
    else:
        binaries = environment(tmp_path / "env", "--editable", str(checkout))
    outside = tmp_path / "outside"
    outside.mkdir()
    where = ask([binaries / "python", "-c", "import medseg; print(medseg.__file__)"], outside)
    assert str(tmp_path / "env" if kind == "wheel" else checkout) in where
    assert "hippocampus_mri" in ask([binaries / "medseg", "bundles"], outside)
    ask([binaries / "medseg", "bundle", "copy", "hippocampus_mri", "mine"], outside)
    ask([binaries / "medseg", "phantom", "hippocampus_mri", "data", "--cases", "5"], outside)
    ask(
        [
            binaries / "python",
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            "configs/train.yaml",
            "--dataset_dir",
            "../data",
            "--epochs",
            "1",
        ],
        outside / "mine",
    )
    assert (outside / "mine" / "runs" / "train" / "bundle" / "models" / "model.pt").is_file()
