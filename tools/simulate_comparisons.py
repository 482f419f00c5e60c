"""How often comparisons of made-up methods find a difference: python tools/simulate_comparisons.py [studies]

A score is a patient's (sd 0.05), a method's for this patient (sd `taste`), a whole seed's and a noise of 0.01 that
every seed draws anew. Prints the tables of docs/comparing.md: what Wilcoxon's test alone and the verdict called
different, and how often the interval over seeds held the truth, in per cent. 4000 studies take some minutes.
"""

import itertools
import sys

import numpy as np

from medseg.metrics import paired

NOISE, PATIENTS_SD = 0.01, 0.05
FEW = 200


def draw(rng, patients, labels, seeds, seed_sd, taste, gains):
    """Scores (labels, seeds, patients) of every method; of several labels, their mean comes first."""
    base = rng.normal(0.85, PATIENTS_SD, (labels, 1, patients))
    methods = []
    for gain in gains:
        own = base + gain + rng.normal(0, taste, base.shape)
        own = own + rng.normal(0, seed_sd, (1, seeds, 1)) + rng.normal(0, NOISE, (labels, seeds, patients))
        methods.append(np.concatenate([own.mean(axis=0, keepdims=True), own]) if labels > 1 else own)
    return methods


def simulate(studies, patients=40, labels=1, seeds=1, seed_sd=0.0, taste=0.0, gains=(0.0, 0.0)):
    """Print the shares of studies with any pair that is different, by three rules, and with an interval that holds."""
    rng = np.random.default_rng(1)
    counts = np.zeros(4)
    for _ in range(studies):
        methods = draw(rng, patients, labels, seeds, seed_sd, taste, gains)
        family = [
            paired.compare_pair(a[label], b[label], range(patients), True)
            for label in range(len(methods[0]))
            for a, b in itertools.combinations(methods, 2)
        ]
        by_wilcoxon = [p < paired.SIGNIFICANT for p in paired.holm([each.p or 0.0 for each in family])]
        counts += (
            any(by_wilcoxon),
            any(p and not holds(each, 0.0) for p, each in zip(by_wilcoxon, family, strict=True)),
            any(verdict == "yes" for _, verdict in paired.verdicts(family)),
            holds(family[0], gains[0] - gains[1]),
        )
    shares = "  ".join(f"{100 * count / studies:5.1f}" for count in counts)
    print(f"{shares}   {patients=} {labels=} {seeds=} {seed_sd=} {taste=} {gains=}", flush=True)


def holds(found, difference):
    """Whether an interval over seeds holds a difference; without seeds none does."""
    return found.with_seeds is not None and found.with_seeds.low <= difference <= found.with_seeds.high


def main(studies):
    """All lines of the tables."""
    paired.mean_interval = lambda *_: None  # the interval of these networks takes no part in the verdict
    print("Wilcoxon; and an interval over seeds without 0; called different; intervals that hold")
    for patients in (10, 20):
        simulate(studies, patients)
    for seed_sd, seeds in itertools.product((0.0, 0.003, 0.01), (1, 2, 3, 5)):
        simulate(studies, seeds=seeds, seed_sd=seed_sd)
    simulate(studies, gains=(0.0,) * 3)
    simulate(studies, seeds=3, seed_sd=0.003, gains=(0.0,) * 3)
    for seeds, seed_sd in ((1, 0.0), (3, 0.0), (2, 0.003), (3, 0.003), (5, 0.003)):
        simulate(studies, labels=2, seeds=seeds, seed_sd=seed_sd, gains=(0.0,) * 3)
    for seeds in (1, 2, 3, 5):
        for gain, seed_sd in ((0.005, 0.0), (0.01, 0.003), (0.02, 0.003)):
            simulate(studies, seeds=seeds, seed_sd=seed_sd, gains=(gain, 0.0))
        for gain in (0.0, 0.01):
            simulate(studies, seeds=seeds, seed_sd=0.003, taste=0.01, gains=(gain, 0.0))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FEW)
