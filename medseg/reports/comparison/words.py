"""What a comparison found, in words and figures: never "better" without a test, never a p without its n."""

from __future__ import annotations

from medseg.metrics.catalogue import METRICS
from medseg.metrics.paired import LEAST_SEEDS, SIGNIFICANT
from medseg.reports.comparison.results import MEAN, Comparison, Pair
from medseg.reports.comparison.same_method import same_methods
from medseg.reports.metric_text import FIGURES, HEADLINES, NOTHING
from medseg.reports.text_table import plain

MOST_SENTENCES = 6  # on one metric
VERDICTS = {"yes": "different", "no": "not shown", "too few": "too few"}
NO_LEADER = "different, no leader"  # the mean and the ranks disagree


def p_text(p: float | None) -> str:
    """``0.012``, ``< 0.001``; no rounding over 0.05."""
    if p is None:
        return NOTHING
    if p < 0.001:
        return "< 0.001"
    shown = f"{p:.3f}"
    return f"{p:.4f}" if shown == f"{SIGNIFICANT:.3f}" else shown


def equals_p(p: float | None) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    shown = p_text(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def difference_text(value: float | None, metric: str) -> str:
    """A difference, with one decimal more than the metric itself; no minus before 0."""
    if value is None:
        return NOTHING
    whole = len(str(int(abs(value))))
    shown = f"{value:.{max(0, min(METRICS[metric].decimals, FIGURES - whole)) + 1}f}"
    return shown.lstrip("-") if not float(shown) else shown


def interval_text(found: tuple[float, float] | None, metric: str) -> str:
    """``[0.0041, 0.0203]``, or a dash."""
    return f"[{difference_text(found[0], metric)}, {difference_text(found[1], metric)}]" if found else NOTHING


def label_text(label: str | None) -> str:
    """A label, or what stands for all of them."""
    return MEAN if label is None else label


def verdict_text(pair: Pair) -> str:
    """``different``, ``different, no leader``, ``not shown`` or ``too few``."""
    return NO_LEADER if pair.different == "yes" and not pair.has_leader else VERDICTS[pair.different]


def leading_metrics(found: Comparison) -> tuple[str, ...]:
    """Dice and HD95 where they were compared, or else the first two."""
    return tuple(metric for metric in HEADLINES if metric in found.directed) or found.directed[:2]


def leader(found: Comparison, metric: str) -> str:
    """The method of rank 1: over labels, or of the one label; of several alike, the first one given."""
    known = found.ranks.get((metric, found.labels[0]))
    return found.methods[int(known[0].ranks.argmin())] if known else found.methods[0]


def headline(found: Comparison, metric: str) -> list[str]:
    """How the leading method compares with each of the others, a sentence each: those first that may be as good."""
    first = leader(found, metric)
    pairs = [pair for pair in found.pairs[metric, found.labels[0]] if first in (pair.a, pair.b)]
    pairs.sort(key=lambda pair: _distance(pair, first))
    sentences = [sentence(pair, first, found.data.unit) for pair in pairs[:MOST_SENTENCES]]
    left = len(pairs) - len(sentences)
    return [*sentences, f"And {left} more comparisons, in the table."] if left else sentences


def _distance(pair: Pair, first: str) -> tuple[bool, bool, float, float]:
    """How far a rival is behind, to sort by: not shown to be behind comes before, then the larger p and the smaller
    difference; last, who has no case in common.
    """
    mean, behind = pair.found.mean, pair.has_leader and pair.better == first
    return mean is None, behind, -1.0 if pair.p_holm is None else -pair.p_holm, abs(mean or 0.0)


def sentence(pair: Pair, first: str, unit: str) -> str:
    """One comparison, seen from the method `first`, and what was invented; `unit` is that of distances."""
    note = invented_note(pair)
    return f"{_compared(pair, first, unit)} {note}." if note else _compared(pair, first, unit)


def _compared(pair: Pair, first: str, unit: str) -> str:
    found, metric = pair.found, METRICS[pair.metric]
    what = f"in {metric.title}{'' if pair.label is None else f' of {plain(pair.label)}'}"
    names = pair.a, pair.b
    one, two = (plain(name) for name in (names if first == pair.a else names[::-1]))
    if found.mean is None:
        return f"{one} and {two} have no case in common {what}."
    n = f"n = {counted(pair)}"
    if found.p == 1 and found.interval is None and not found.mean:
        return f"{one} and {two} score the same in every case {what}, {n}."
    upper, lower = (plain(name) for name in (names if (found.mean > 0) == found.higher_is_better else names[::-1]))
    by = f"by {_advantage(pair, unit)}"
    if pair.different == "too few":
        ahead = f"{upper} is ahead {by}" if found.mean else "their means are equal"
        return (
            f"Too few patients to tell {one} from {two} {what}: {ahead}, {n}; no scores could give p < {SIGNIFICANT}."
        )
    p = f"{equals_p(pair.p_holm)}, {n}"
    if pair.different == "no":
        ahead = f"{upper} is ahead {by}" if found.mean else "their means are equal"
        return f"No difference shown between {one} and {two} {what}: {ahead}, {p}.{_only_networks(pair)}"
    if not pair.better:
        return f"{one} and {two} differ {what} ({p}), but {upper} is ahead {by} by the mean, {lower} in most cases."
    return f"{upper} leads {by} {what} over {lower}, {p}."


def seeds_note(found: Comparison) -> str:
    """Whether methods were compared, or one trained network of each."""
    methods = found.data.methods
    once = [plain(method.name) for method in methods if len(method.seeds) < LEAST_SEEDS]
    parts = ["Folds are joined."] if any(method.n_folds > 1 for method in methods) else []
    if len(once) < len(methods):
        counts = ", ".join(f"{plain(method.name)} {len(method.seeds)}" for method in methods)
        parts.append(
            f"Seeds: {counts}. A case's score is its mean over seeds. Methods with several seeds are called different "
            "only where two tests agree: Wilcoxon's over patients, and one in which patients and seeds are both random."
        )
    if once:
        folds = {method.n_folds > 1 for method in methods if len(method.seeds) < LEAST_SEEDS}
        often = "once, or once a fold" if len(folds) > 1 else "once a fold" if True in folds else "once"
        who = f"Each method was trained {often}, so these" if len(once) == len(methods) else "Comparisons with one seed"
        how = "train each with three seeds or more" + (", all on one split" if True in folds else "")
        parts.append(
            f"{who} are tests of trained networks, not of methods: another seed gives another network, which may "
            f"change the order. To compare methods, {how}."
        )
    two = [plain(method.name) for method in methods if len(method.seeds) == LEAST_SEEDS]
    if two:
        parts.append(
            f"Two seeds ({', '.join(two)}) tell little of how seeds differ: of several tests together one calls a "
            "difference that is none more often than 5 % of the time (docs/comparing.md). Take three or more."
        )
    return " ".join([*_same_note(found), *parts])


def _same_note(found: Comparison) -> list[str]:
    """Said of what is compared with itself."""
    return [
        f"{plain(a)} and {plain(b)} are one configuration: what differs between them is what a seed changes (or how "
        "long they trained), whatever a test of these networks says."
        for a, b in same_methods(found.data.methods)
    ]


def left_out(pair: Pair) -> str:
    """How many cases (of the mean over labels: structures) are no pair, and why; nothing where all are."""
    parts = [f"{pair.absent} absent from all masks"] if pair.absent else []
    parts += [f"{pair.undefined} without a value"] if pair.undefined else []
    return f"Not in the pairs: {'; '.join(parts)}" if parts else ""


def invented_note(pair: Pair) -> str:
    """How many structures one method alone invented, and that they count; nothing where there are none."""
    parts = []
    for name, other, n in ((pair.a, pair.b, pair.invented[0]), (pair.b, pair.a, pair.invented[1])):
        what = "structures" if pair.label is None else "cases"
        where = f"in {n} {what[:-1] if n == 1 else what}"
        parts += [f"{plain(name)} invents {where}, where {plain(other)} rightly finds nothing"] if n else []
    best = "1" if pair.found.higher_is_better else "0"
    return f"{'; '.join(parts)} (which counts as {METRICS[pair.metric].title} {best})" if parts else ""


def counted(pair: Pair) -> str:
    """How many cases; of how many patients, where those are fewer."""
    patients = pair.found.n_patients
    return f"{pair.found.n}" if patients == pair.found.n else f"{pair.found.n} cases of {patients} patients"


def _advantage(pair: Pair, unit: str) -> str:
    """By how much the method with the better mean is better, and the intervals of that."""
    found, sign = pair.found, -1 if (pair.found.mean or 0.0) < 0 else 1
    measured = unit if METRICS[pair.metric].unit == "mm" else METRICS[pair.metric].unit
    shown = difference_text(abs(found.mean or 0.0), pair.metric) + (f" {measured}" if measured else "")
    shown += f" {interval_text(_turned(found.interval, sign), pair.metric)}" if found.interval else ""
    if found.with_seeds is None:
        return shown
    seeds = _turned((found.with_seeds.low, found.with_seeds.high), sign)
    return f"{shown} (over seeds too: {interval_text(seeds, pair.metric)})"


def _only_networks(pair: Pair) -> str:
    """Where these networks differ, but their methods' seeds do as well."""
    found = pair.found
    if found.p is None or found.with_seeds is None or not found.p < SIGNIFICANT <= found.with_seeds.p:
        return ""
    return " These networks differ on these patients, but not by more than other seeds might."


def _turned(found: tuple[float, float], sign: int) -> tuple[float, float]:
    return found if sign > 0 else (-found[1], -found[0])
