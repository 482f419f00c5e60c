"""Made-up run folders with scores, as training and evaluation leave them."""

import numpy as np

from medseg import files
from medseg.labels import Labels
from medseg.volumes.stack import Stack, write_stack

LABELS = ("anterior", "posterior")


def row(case, label, dice, empties="", group="", **more):
    """A row of cases.csv; distances go with Dice, and an absent structure has none."""
    absent = empties == "absent"
    return {
        "case": case, "group": group or case, "label": label, "distance_unit": "mm", "dice": "" if absent else dice,
        "hd95": "" if absent else (100.0 if empties else 10 * (1 - dice)), "empties": empties,
        "reference_ml": 0.0 if empties in ("absent", "invented") else 2.0,
        "prediction_ml": 0.0 if empties in ("absent", "missed") else 2.0 + dice / 10, "tolerance_mm": "",
        "spacing_mm": "1 1 2.5", "subset": "test",
    } | more  # fmt: skip


def rows_of(dice, labels=LABELS, **more):
    """Rows of cases c0, c1, …, from Dice (cases, labels)."""
    return [row(f"c{i}", label, float(value), **more) for i, values in enumerate(np.atleast_2d(dice))
            for label, value in zip(labels, values, strict=True)]  # fmt: skip


def write_run(folder, rows, seed=0, digests=None, **record):
    """A run folder that was trained and evaluated; `digests` are those of some cases' files."""
    files.write_csv(folder / "cases.csv", rows)
    facts = {"task": "liver_ct", "seed": seed, "network": "UNet", "epochs": 3, "data_fingerprint": "f", "device": "cpu"}
    files.write_json(folder / "record.json", facts | record)
    cases = dict.fromkeys(each["case"] for each in rows)
    found = {case: {"image": [f"i{case}"], "label": f"l{case}"} for case in cases} | (digests or {})
    files.write_json(folder / "split.json", {"seed": seed, "train": [], "test": [
        {"case": case, "group": case, "digest": digest} for case, digest in found.items()]})  # fmt: skip
    files.write_csv(folder / "log.csv", [{"epoch": 1, "iteration": 50, "loss": 0.5, "seconds": 12.5}])
    files.write_text(folder / "config.yaml", "seed: 0\n")
    (folder / "previews").mkdir(exist_ok=True)
    return folder


def dice_of(n, gain=0.0, seed=0, noise=0.01, seed_effect=0.0, labels=2):
    """Dice (cases, labels) of one network: the same patients whatever the gain and the seed."""
    patients = np.random.default_rng(99).normal(0.85, 0.03, (n, labels))
    rng = np.random.default_rng(seed + 1)
    return np.clip(patients + gain + seed_effect + rng.normal(0, noise, (n, labels)), 0.01, 0.99)


def write_slices(folder, case, seed=0, labels=LABELS):
    """``previews/<case>.npz``: a bright cube on noise, its left half the first label, its right half the second."""
    image = np.random.default_rng(0).integers(0, 90, (24, 20, 12)).astype(np.uint8)
    mask = np.zeros(image.shape, np.uint8)
    mask[6:12, 5:15, 3:9], mask[12:18, 5:15, 3:9] = 1, 2
    image[mask > 0] += 120
    levels = np.arange(256, dtype=np.float32)
    names = Labels({"background": 0} | {label: i for i, label in enumerate(labels, start=1)})
    prediction = np.roll(mask, 1 + seed % 3, axis=1)
    stack = Stack(
        image, levels, {"reference": mask, "prediction": prediction}, names, (1.0, 1.0, 2.5), shape=image.shape
    )
    return write_stack(folder / "previews" / f"{case}.npz", stack)


def study(tmp_path, dice, seeds=None, **more):
    """Methods to their folders; `dice` is a name to Dice (cases, labels), or to one such a seed."""
    folders = {}
    for place, (name, tables) in enumerate(dice.items()):
        folders[name] = tmp_path / f"m{place}"
        for seed, table in enumerate(tables if seeds else [tables]):
            where = folders[name] / f"seed{seed}" if seeds else folders[name]
            write_run(where, rows_of(table, **more), seed)
    return folders


def results(folders, metrics=None):
    """The comparison of methods in folders, by some metrics or by all that they share."""
    from medseg.reports.comparison.method_runs import read_methods
    from medseg.reports.comparison.paired_scores import pair_scores, shared_metrics
    from medseg.reports.comparison.results import compare_methods

    methods = read_methods(folders)
    return compare_methods(pair_scores(methods), metrics or shared_metrics(methods))
