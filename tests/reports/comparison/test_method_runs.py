from pathlib import Path

import pytest
from made_runs import dice_of, row, rows_of, write_run

from medseg.errors import DataError, UsageError
from medseg.reports.comparison.method_runs import name_methods, read_methods


@pytest.fixture
def two(tmp_path):
    """Two methods, a run each."""
    return {name: write_run(tmp_path / name, rows_of(dice_of(6, gain))) for name, gain in (("a", 0.0), ("b", 0.02))}


def change(folder, **cells):
    """Other cells in all rows of a run's table."""
    write_run(folder, [each | cells for each in rows_of(dice_of(6))])


def test_a_run_and_a_folder_of_seeds(tmp_path, two):
    for seed in (0, 1, 10):
        write_run(tmp_path / "many" / f"seed{seed}", rows_of(dice_of(6, seed=seed)), seed)
    (tmp_path / "many" / "notes").mkdir()
    one, many = read_methods({"one": two["a"], "many": tmp_path / "many"})
    assert [len(method.seeds) for method in (one, many)] == [1, 3]
    assert [run.path.name for run in many.runs] == ["seed0", "seed1", "seed10"]
    assert many.n_folds == 1


def test_runs_may_be_listed(tmp_path, two):
    other = write_run(tmp_path / "elsewhere", rows_of(dice_of(6, seed=5)), 5)
    assert len(read_methods({"x": [two["a"], other], "y": two["b"]})[0].seeds) == 2


def test_folds_are_joined(tmp_path, two):
    rows = rows_of(dice_of(6))
    for fold in range(3):
        members = (f"c{2 * fold}", f"c{2 * fold + 1}")
        write_run(tmp_path / "folds" / f"fold{fold}", [each for each in rows if each["case"] in members])
    folds, _ = read_methods({"folds": tmp_path / "folds", "b": two["b"]})
    assert (len(folds.seeds), folds.n_folds) == (1, 3)
    assert [each["case"] for each in folds.seeds[0]] == [each["case"] for each in rows]


def test_seeds_of_some_cases_and_folds_of_others_are_refused(tmp_path, two):
    write_run(tmp_path / "mixed" / "r0", rows_of(dice_of(4)))
    write_run(tmp_path / "mixed" / "r1", rows_of(dice_of(6)), 1)
    with pytest.raises(DataError, match=r"E507.*mixed/r1.*runs of m are neither seeds nor folds.*4 of 6 cases"):
        read_methods({"m": tmp_path / "mixed", "b": two["b"]})


def test_two_runs_of_one_seed_are_refused(tmp_path, two):
    for name in ("r0", "r1"):
        write_run(tmp_path / "twice" / name, rows_of(dice_of(6)), seed=4)
    with pytest.raises(DataError, match=r"E507.*two runs of m have one seed.*4 here and in .*r0"):
        read_methods({"m": tmp_path / "twice", "b": two["b"]})


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"network": "UNETR"}, "expected network UNet as in .*r0; found network UNETR"),
        ({"parameters": 9}, "expected parameters 8 as in .*r0; found parameters 9"),
        (
            {"batch_size": 4, "precision": "bf16"},
            "expected batch size 2, precision fp32 as .*found batch size 4, precision",
        ),
    ],
)
def test_runs_of_another_method_are_no_seeds_of_this_one(tmp_path, two, facts, found):
    given = {"parameters": 8, "batch_size": 2, "precision": "fp32"}
    write_run(tmp_path / "m" / "r0", rows_of(dice_of(6)), 0, **given)
    write_run(tmp_path / "m" / "r1", rows_of(dice_of(6)), 1, **given)
    write_run(tmp_path / "m" / "r2", rows_of(dice_of(6)), 2, **given | facts)
    with pytest.raises(DataError, match=rf"E507\] .*m/r2: the runs of m are not of one method; {found}"):
        read_methods({"m": tmp_path / "m", "b": two["b"]})


def test_runs_of_another_patch_size_are_no_folds_of_one_method(tmp_path, two):
    rows = rows_of(dice_of(6))
    for fold in range(2):
        run = write_run(tmp_path / "m" / f"fold{fold}", [each for each in rows if int(each["case"][1:]) % 2 == fold])
        (run / "config.yaml").write_text(f"patch_size: [32, {32 + 16 * fold}]\n")
    with pytest.raises(
        DataError, match=r"E507.*expected patch size \[32, 32\] as in .*fold0; found patch size \[32, 48"
    ):
        read_methods({"m": tmp_path / "m", "b": two["b"]})


def test_what_a_run_did_not_record_and_its_length_are_not_held_against_it(tmp_path, two):
    write_run(tmp_path / "m" / "r0", rows_of(dice_of(6)), 0, parameters=None, epochs=3)
    write_run(tmp_path / "m" / "r1", rows_of(dice_of(6)), 1, parameters=8, epochs=9)
    (tmp_path / "m" / "r1" / "config.yaml").write_text("patch_size: [")
    write_run(tmp_path / "m" / "r2", rows_of(dice_of(6)), 2, parameters=9)
    (tmp_path / "m" / "r2" / "record.json").unlink()
    assert len(read_methods({"m": tmp_path / "m", "b": two["b"]})[0].seeds) == 3


def test_one_method_or_one_run_twice_is_refused(two):
    with pytest.raises(UsageError, match=r"E903.*needs two methods.*found a"):
        read_methods({"a": two["a"]})
    with pytest.raises(UsageError, match=r"E903.*the same run twice; found a and again"):
        read_methods({"a": two["a"], "again": two["a"] / ".." / "a"})


@pytest.mark.parametrize("names", [("a", " a "), ("a", "a\n"), ("", "b")])
def test_names_that_look_alike_are_refused(two, names):
    with pytest.raises(UsageError, match=r"E903.*(one name|no name)"):
        read_methods(dict(zip(names, two.values(), strict=True)))


def test_a_folder_without_a_run_is_refused(tmp_path, two):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"E505.*no run in this folder.*cases\.csv \(evaluation writes it\)"):
        read_methods({"a": two["a"], "b": tmp_path / "empty"})
    with pytest.raises(DataError, match=r"E101.*no such folder"):
        read_methods({"a": two["a"], "b": tmp_path / "nowhere"})


def test_a_run_that_was_never_evaluated_is_named(two):
    (two["b"] / "cases.csv").unlink()
    with pytest.raises(DataError, match=r"E505.*b/cases\.csv.*never evaluated.*evaluation writes the file"):
        read_methods(two)


@pytest.mark.parametrize("content", ["", "case,label,dice\n"])
def test_a_table_without_cases_is_refused(two, content):
    (two["b"] / "cases.csv").write_text(content)
    with pytest.raises(DataError, match=r"E505.*b/cases\.csv.*without cases"):
        read_methods(two)


def test_two_rows_of_a_case_and_label_are_refused(two):
    write_run(two["b"], [*rows_of(dice_of(6)), row("c2", "anterior", 0.5)])
    with pytest.raises(DataError, match=r"E105.*case=c2.*two rows of the label anterior"):
        read_methods(two)


def test_other_cases_are_named_with_their_number(two):
    write_run(two["b"], [row(f"d{i}", label, 0.8) for i in range(6) for label in ("anterior", "posterior")])
    with pytest.raises(DataError, match=r"E507.*cases of the runs differ.*6 in a alone \(c0, c1, c2, c3 and 2 more\); "
                       r"6 in b alone \(d0"):  # fmt: skip
        read_methods(two)


def test_other_labels_are_named(two):
    write_run(two["b"], rows_of(dice_of(6), labels=("anterior", "tail")))
    with pytest.raises(
        DataError, match=r"labels of the runs differ.*1 in a alone \(posterior\); 1 in b alone \(tail\)"
    ):
        read_methods(two)


def test_a_row_that_is_missing_is_named(two):
    write_run(two["b"], rows_of(dice_of(6))[:-1])
    with pytest.raises(
        DataError, match=r"rows of the runs differ; expected 12 rows; found 11 rows; without c5 posterior"
    ):
        read_methods(two)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"distance_unit": "px"}, r"units of distances.*expected mm as in .*a; found px; 6 cases differ: c0"),
        ({"tolerance_mm": 2.0}, r"tolerances of the runs differ.*found 2; 6 cases"),
        ({"spacing_mm": "1 1 3"}, r"spacings.*expected 1 1 2\.5 .*found 1 1 3"),
        ({"group": "p"}, r"patients \(group\).*found p"),
        ({"reference_ml": 2.5}, r"volumes of the reference.*expected 2 .*found 2\.5"),
        ({"subset": "validate"}, r"the subset of the runs differ.*test.*validate"),
    ],
)
def test_what_was_scored_otherwise_is_refused(two, cells, message):
    change(two["b"], **cells)
    with pytest.raises(DataError, match=f"E507.*b: {message}" if "subset" in cells else f"E507.*{message}"):
        read_methods(two)


def test_the_same_spacing_written_otherwise_is_no_difference(two):
    change(two["b"], spacing_mm="1.0 1.00 2.5000001")
    assert len(read_methods(two)) == 2


@pytest.mark.parametrize("part", ["image", "label"])
def test_other_files_of_a_case_are_named(two, part):
    digest = {"image": ["ic3"], "label": "lc3"} | {part: "other"}
    write_run(two["b"], rows_of(dice_of(6, 0.02)), digests={"c3": digest})
    with pytest.raises(DataError, match=rf"E507\] case=c3.*the {part} of a case is not the same file.*c3"):
        read_methods(two)


def test_without_a_split_files_cannot_be_told_apart(two):
    (two["b"] / "split.json").unlink()
    assert "split.json" in read_methods(two)[1].runs[0].missing


def test_seeds_are_compared_with_one_another_too(tmp_path, two):
    write_run(tmp_path / "many" / "seed0", rows_of(dice_of(6)), 0)
    write_run(tmp_path / "many" / "seed1", rows_of(dice_of(6), tolerance_mm=3.0), 1)
    with pytest.raises(DataError, match=r"E507.*seed1.*tolerances"):
        read_methods({"m": tmp_path / "many", "b": two["b"]})


def test_all_differences_are_named_at_once(two):
    write_run(two["b"], rows_of(dice_of(5), labels=("anterior", "tail")))
    with pytest.raises(DataError) as caught:
        read_methods(two)
    assert [fault.what.split()[0] for fault in caught.value.faults] == ["cases", "labels"]


def test_folders_name_methods(tmp_path):
    for name in ("x/run", "y/run", "other", "k=v"):
        (tmp_path / name).mkdir(parents=True)
    given = [str(tmp_path / name) for name in ("x/run", "y/run", "other", "k=v")]
    assert list(name_methods(given)) == ["x/run", "y/run", "other", "k=v"]
    assert name_methods([f"mine={tmp_path / 'x/run'}", given[2]]) == {
        "mine": tmp_path / "x/run",
        "other": Path(given[2]),
    }
    with pytest.raises(UsageError, match=rf"the same run twice; found {given[0]} and again={given[0]}"):
        name_methods([given[0], f"again={given[0]}"])
    with pytest.raises(UsageError, match="two methods have one name; found m"):
        name_methods([f"m={given[0]}", f"m={given[1]}"])


def test_a_formula_in_a_cases_name_is_itself(tmp_path):
    rows = [row("=1+1", "a", value) for value in (0.7,)] + [row("c", "a", 0.8)]
    methods = read_methods({name: write_run(tmp_path / name, rows) for name in ("a", "b")})
    assert methods[0].seeds[0][0]["case"] == "=1+1"
    assert "'=1+1" in (tmp_path / "a" / "cases.csv").read_text()


def test_numbers_that_are_none_are_refused(two):
    change(two["b"], dice="good")
    with pytest.raises(DataError, match=r"E105.*b/cases\.csv.*column dice"):
        read_methods(two)
