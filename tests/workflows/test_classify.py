"""Linear classifiers on features."""

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.workflows.classify import classify_features, cross_validate

pytest.importorskip("sklearn")


def table(path, rows, columns="case,label"):
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def features(values, groups=None):
    return [{"case": f"c{n}", "group": groups[n] if groups else f"c{n}", "feature_0": row[0], "feature_1": row[1]}
            for n, row in enumerate(values)]  # fmt: skip


def two_clouds(apart, n=40, seed=0):
    """`n` cases of two classes in turn, whose first feature differs by `apart` deviations, in other units."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2)) * (1e-3, 1e3)
    values[1::2, 0] += apart * 1e-3
    return values, ["healthy", "ill"] * (n // 2)


def test_clouds_that_lie_apart_are_told_apart_and_noise_is_not():
    values, names = two_clouds(12)
    answers = cross_validate(values, names, [str(n) for n in range(40)])
    assert (answers.shares.argmax(1) == answers.truth).all() and answers.folds == 5
    answers = cross_validate(two_clouds(0)[0], names, [str(n) for n in range(40)])
    assert 0.2 < (answers.shares.argmax(1) == answers.truth).mean() < 0.75


def test_a_group_stays_on_one_side():
    """Pairs of equal cases whose class is drawn at random: who saw one of a pair would know the other."""
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=(30, 20)), 2, axis=0)
    names = np.repeat(rng.permutation(["a", "b"] * 15), 2).tolist()
    alone = cross_validate(values, names, [str(n) for n in range(60)])
    grouped = cross_validate(values, names, [str(n // 2) for n in range(60)])
    right = [(each.shares.argmax(1) == each.truth).mean() for each in (alone, grouped)]
    assert right[0] > 0.8 > 0.65 > right[1] and grouped.groups == 30


def test_what_is_printed(tmp_path):
    """30 healthy, 10 ill, far apart."""
    names = ["healthy"] * 30 + ["ill"] * 10
    values = np.random.default_rng(0).normal(size=(40, 2))
    values[30:] += 20
    rows = [f"c{n},{name}" for n, name in enumerate(names)]
    head, linear, largest, n = classify_features(features(values), table(tmp_path / "l.csv", rows))
    assert head.split() == ["accuracy", "balanced", "AUC"]
    assert linear.split()[2:] == ["1.000", "1.000", "1.000"]
    assert largest.split()[2:] == ["0.750", "0.500", "0.500"]
    assert n == "n = 40 (healthy 30, ill 10), 40 groups, 5 folds"


def test_groups_come_from_the_table_or_from_the_data_set(tmp_path):
    values, names = two_clouds(3, 12)
    rows = [f"c{n},{name}" for n, name in enumerate(names)]
    own = classify_features(features(values, [f"p{n // 2}" for n in range(12)]), table(tmp_path / "a.csv", rows))
    given = table(tmp_path / "b.csv", [f"{row},p{n // 2}" for n, row in enumerate(rows)], "case,label,group")
    assert own == classify_features(features(values), given) and "6 groups" in own[-1]


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (["c0,a", "c1,a"], "case,label", r"E307.*one class only.*'a' in 2"),
        (["c0,a", "c1,a", "c2,b"], "case,label", r"E307.*one group alone.*'b' in 1"),
        (["c0,a", "c9,b"], "case,label", r"E506.*1 rows are of no case.*found c9"),
        (["c0,a", "c0,b"], "case,label", r"E501.*found c0"),
        (["c0,a"], "case,class", r"E104.*expected case, label; found case, class"),
    ],
)
def test_tables_that_make_no_sense(tmp_path, rows, columns, words):
    with pytest.raises(DataError, match=words):
        classify_features(features(two_clouds(1, 6)[0]), table(tmp_path / "l.csv", rows, columns))
    with pytest.raises(DataError, match=r"E101.*no such file"):
        classify_features(features(two_clouds(1, 6)[0]), tmp_path / "none.csv")
