import shlex
import subprocess
import sys

import pytest

from medseg.errors import DataError, UsageError
from medseg.workflows.bundles import bundle_names, config_files, copy_bundle, find_bundle
from medseg.workflows.prepare import running_config
from medseg.workflows.run import checked_path, command_line, parse_overrides


def test_override_values_are_read_as_meant():
    words = ["a=1", "b=1e-4", "c=true", "d=null", "e=[1, 2]", "f=text", "g::h=0.5", "i=x=y", "j='3'"]
    assert parse_overrides(words) == {"a": 1, "b": 1e-4, "c": True, "d": None, "e": [1, 2], "f": "text", "g::h": 0.5,
                                      "i": "x=y", "j": "3"}  # fmt: skip


def test_a_table_may_be_written_as_fire_and_yaml_do():
    words = ["labels={background: 0, liver: [1, 2]}", "other={'a': 1}", "odd={a", "fraction={half}: 2}", "empty={}",
             "metrics=[dice, hd95]", "open=[dice"]  # fmt: skip
    assert parse_overrides(words) == {"labels": {"background": 0, "liver": [1, 2]}, "other": {"a": 1}, "odd": "{a",
                                      "fraction": "{half}: 2}", "empty": {}, "metrics": ["dice", "hd95"],
                                      "open": "[dice"}  # fmt: skip


def test_the_printed_command_gives_monai_the_same_values(tmp_path):
    """What fire parses from the words of the printed command is what `medseg run` passes on."""
    import fire

    overrides = {"epochs": 3, "lr": 1e-4, "name": "a b", "flag": True, "none": None, "sizes": [1, 2]}
    words = shlex.split(command_line([tmp_path / "train.yaml"], overrides))
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    parsed = fire.Fire(lambda **given: given, words[4:])
    assert parsed == {"config_file": str(tmp_path / "train.yaml")} | overrides | {"none": "$None"}


@pytest.mark.parametrize("name", ["it's", 'a "b"', "$HOME", "`id`", "a\\b", "a b!", "'$x'", ""])
def test_the_printed_command_survives_a_shell(tmp_path, name):
    files = [tmp_path / "train.yaml", tmp_path / "evaluate.yaml"]
    line = command_line(files, {"name": name})
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True).stdout
    assert words.split("\0")[5:-1] == [repr([str(path) for path in files]), "--name", name]
    assert "'" not in line.split("--config_file ")[1][:2]


def test_files_of_a_workflow():
    root = find_bundle("hippocampus_mri")
    names = [path.name for path in config_files(root, "evaluate")]
    assert names == ["train.yaml", "evaluate.yaml"]
    assert [path.name for path in config_files(root, "infer")] == ["inference.yaml"]


@pytest.mark.parametrize("path", ["study#1", "$HOME/x", "@x", "%x"])
def test_paths_that_monai_would_read_as_references_are_refused(path):
    with pytest.raises(UsageError, match="--data"):
        checked_path("--data", path)


def test_a_copy_is_whole_and_never_overwrites(tmp_path):
    copy = copy_bundle("hippocampus_mri", tmp_path / "mine")
    assert (copy / "configs" / "train.yaml").read_bytes() == (
        find_bundle("hippocampus_mri") / "configs" / "train.yaml"
    ).read_bytes()
    assert find_bundle(copy) == copy
    with pytest.raises(DataError, match="E503"):
        copy_bundle("hippocampus_mri", tmp_path / "mine")


def test_outside_a_configuration_there_is_no_running_one():
    with pytest.raises(RuntimeError, match="bundle's configuration"):
        running_config()


def test_listing_and_help_import_neither_torch_nor_monai():
    code = ("import sys; sys.argv = ['medseg', 'bundles']\nfrom medseg.cli import main\ntry:\n    main()\n"
            "finally:\n    print([name for name in ('torch', 'monai') if name in sys.modules])")  # fmt: skip
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]" and set(bundle_names()) <= {
        line.split()[0] for line in printed.splitlines()
    }
