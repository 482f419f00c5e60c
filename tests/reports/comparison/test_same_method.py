"""What is compared with itself is said to be; and what was given the same minutes but took longer."""

from made_runs import dice_of, rows_of, write_run
from pages import Page

from medseg import files
from medseg.reports.comparison.write import write_comparison

CONFIG = """
seed: {seed}
output_dir: runs/{seed}
epochs: {epochs}
learning_rate: {rate}
network_def: {{_target_: UNet}}
"""


def runs(folder, rates, seeds=1, epochs=(3, 3), **record):
    found = {}
    for name, rate, length in zip("ab", rates, epochs, strict=True):
        for seed in range(seeds):
            run = write_run(folder / name / f"seed{seed}", rows_of(dice_of(8, seed=seed + ord(name))), seed, **record)
            files.write_text(run / "config.yaml", CONFIG.format(seed=seed, rate=rate, epochs=length))
        found[name] = folder / name
    return found


def text(folder, found):
    lines = write_comparison(found, folder / "out", metrics=["dice"])
    page = Page(folder / "out" / "comparison.html").text
    note = "a and b are one configuration"
    assert (note in page) == (note in " ".join(" ".join(lines).split()))
    return page


def test_one_configuration_under_two_names(tmp_path):
    assert "a and b are one configuration" in text(tmp_path, runs(tmp_path, (0.1, 0.1), epochs=(3, 5)))


def test_another_setting_is_another_method(tmp_path):
    assert "are one configuration" not in text(tmp_path, runs(tmp_path, (0.1, 0.2)))


def test_what_two_seeds_are_worth_is_said(tmp_path):
    assert "Take three or more" in text(tmp_path, runs(tmp_path, (0.1, 0.2), seeds=2))
    assert "Take three or more" not in text(tmp_path / "three", runs(tmp_path / "three", (0.1, 0.2), seeds=3))


def with_seconds(folder, seconds):
    found = runs(folder, (0.1, 0.2), minutes=10)
    for name, each in zip(found, seconds, strict=True):
        row = {"epoch": 1, "iteration": 50, "loss": 0.5, "seconds": each}
        files.write_csv(found[name] / "seed0" / "log.csv", [row])
    write_comparison(found, folder / "out", metrics=["dice"])
    return Page(folder / "out" / "comparison.html").text


def test_methods_that_took_longer_than_others_with_the_same_minutes_are_marked(tmp_path):
    note = "training time; see What was run"
    assert note not in with_seconds(tmp_path / "alike", (600, 700))
    assert note in with_seconds(tmp_path / "not", (400, 700))
