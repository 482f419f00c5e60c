"""The page of a bundle: its task, its transforms in pictures, its network, and what training would do."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports import markup
from medseg.reports.case_panels import Panel, draw_panels, fullest_slice, slice_panel
from medseg.reports.description import Description, Step
from medseg.reports.figure_style import MUTED, SMALL, as_png, colour, name_text, new_figure, titled
from medseg.reports.theme import CSS
from medseg.volumes.overlay import PICTURE
from medseg.volumes.slice_pixels import intensity_window
from medseg.volumes.stack import make_stack
from medseg.volumes.volume import Volume

PAGE = "describe.html"
WORKFLOW, BATCHES, SCHEDULE = "workflow.png", "augmented_batches.png", "schedule.png"
IN_A_ROW = 4
MOST_CHANNELS = 3  # of a picture in colours; of other images the first channel is drawn
TASK = ("description", "data_source", "data_type", "image_classes", "label_classes", "intended_use")

SHOWN = (
    "Random ones show the first of a few draws that changes it. Below each picture stand the lowest and the highest "
    "intensity of the volume; grey values span most of them, so that scaling alone changes these numbers and not the "
    "picture. From the first random transform on grey values mean the same in all pictures."
)

Window = tuple[float, float]


def write_description(description: Description, folder: str | Path) -> Path:
    """Write ``describe.html`` and ``figures/*.png`` and return the page's path."""
    figures = {
        WORKFLOW: _draw_workflow(description.steps, description.labels),
        BATCHES: _draw_batches(description),
        **_draw_schedule(description.schedules),
    }
    for name, png in figures.items():
        files.write_bytes(Path(folder) / "figures" / name, png)
    if SCHEDULE not in figures:
        (Path(folder) / "figures" / SCHEDULE).unlink(missing_ok=True)
    return files.write_text(Path(folder) / PAGE, _page(description, figures))


def _page(description: Description, figures: Mapping[str, bytes]) -> str:
    name = str(description.metadata.get("name") or description.bundle)
    shown = {key: markup.picture(png, said) for key, png, said in (
        (WORKFLOW, figures[WORKFLOW], "One case after each transform"),
        (BATCHES, figures[BATCHES], "Patches as the network sees them"),
        (SCHEDULE, figures.get(SCHEDULE, b""), "Learning rate over steps"))}  # fmt: skip
    body = [
        _header(name, description) + markup.SWIPE,
        "<h2>Task</h2>",
        markup.pairs(_task(description)),
        "<h2>Transforms</h2>",
        f'<p class="note">The case {markup.text(description.case)} after each transform of training, in the slice with '
        f"most label. {SHOWN}</p>",
        markup.wide_figure(shown[WORKFLOW]),
        _steps_table(description.steps),
        "<h2>Augmented batches</h2>",
        f'<p class="note">The first {len(description.patches)} patches that training would take, '
        f"{description.batch_size} a batch.</p>",
        markup.wide_figure(shown[BATCHES]),
        "<h2>Network</h2>",
        *_network(description),
        "<h2>Inference time</h2>",
        *_times(description),
        "<h2>Training</h2>",
        markup.pairs((key, said) for key, said in description.words.items()),
        f'<div class="figures"><figure>{shown[SCHEDULE]}</figure></div>' if SCHEDULE in figures else "",
    ]
    return markup.page(f"{name}: description", CSS, "\n".join(body))


def _header(name: str, description: Description) -> str:
    network, time = description.network, description.time
    source = f"cases of {description.data}" if description.data else "made-up cases, not those of the task"
    line = " · ".join(part for part in (description.bundle, description.method, source, "random weights") if part)
    predicted = [seconds for _, seconds, _ in time.cases]
    facts = [
        markup.fact("Parameters", f"{network.parameters:,}", markup.text(f"{network.name}; {network.trainable:,} "
                    "of them trained"), main=True),
        markup.fact("Operations a patch", _short(network.operations), markup.text(f"patch of {_sizes(network.patch)}")),
        markup.fact("Inference a case", _seconds(statistics.median(predicted)), markup.text(time.device)),
        markup.fact("Cases", f"{sum(description.sizes.values()):,}", markup.text(", ".join(
            f"{n:,} {subset}" for subset, n in description.sizes.items()))),
    ]  # fmt: skip
    return (
        f'<header><h1>{markup.text(name)}</h1><p class="muted">{markup.text(line)}</p>'
        f'<dl class="facts">{"".join(facts)}</dl></header>'
    )


def _task(description: Description) -> list[tuple[str, str]]:
    found = [("task", description.metadata.get("task", ""))]
    found += [(key.replace("_", " "), description.metadata[key]) for key in TASK if description.metadata.get(key)]
    found.append(("labels", ", ".join(f"{name} = {'+'.join(map(str, values))}"
                                      for name, values in description.labels.values.items())))  # fmt: skip
    return [(key, str(said)) for key, said in found if said]


def _steps_table(steps: Sequence[Step]) -> str:
    rows = []
    for number, step in enumerate(steps, start=1):
        low, high = _range(step.image)
        cells = [_sizes(step.image.shape), _sizes(step.grid.spacing_mm), f"{_intensity(low)} to {_intensity(high)}",
                 "random" if step.is_random else "always", "" if step.changed else "unchanged here"]  # fmt: skip
        rows.append(markup.row(f"{number} {step.name}", cells))
    given = [(f"{number} {step.name}", ", ".join(f"{name} {said}" for name, said in step.arguments))
             for number, step in enumerate(steps, start=1) if step.arguments]  # fmt: skip
    table = markup.table(("", "shape", "spacing (mm)", "intensities", "applied", ""), rows)
    return f"{table}<h3>Arguments that are not the transforms' defaults</h3>{markup.pairs(given)}"


def _network(description: Description) -> list[str]:
    network = description.network
    rows = [markup.row(each.name, [each.kind, _sizes(each.shape), f"{each.parameters:,}"]) for each in network.groups]
    rows.append(markup.row("all", [network.name, "", f"{network.parameters:,}"], strong=2))
    note = (
        f"{_short(network.operations)} multiplications and additions for a patch of {_sizes(network.patch)} "
        "(convolutions and matrix products, as PyTorch counts them)."
    )
    return [f'<p class="note">{markup.text(note)}</p>', markup.table(("", "type", "output", "parameters"), rows)]


def _times(description: Description) -> list[str]:
    time = description.time
    reading, predicting = zip(*((read, predict) for read, predict, _ in time.cases), strict=True)
    sizes = list(dict.fromkeys(_sizes(shape) for *_, shape in time.cases))
    rows = [
        markup.row(name, [_seconds(statistics.median(each)), f"{_seconds(min(each))} to {_seconds(max(each))}"])
        for name, each in (("read and prepare a case", reading), ("predict a case", predicting))
    ]
    rows.append(markup.row("predict one patch", [_seconds(time.window), ""]))
    note = f"{markup.count(len(time.cases), 'case')} of {', '.join(sizes)} after a warm-up; {time.device}."
    return [f'<p class="note">{markup.text(note)}</p>', markup.table(("", "median", "range"), rows)]


def _draw_workflow(steps: Sequence[Step], labels: Labels) -> bytes:
    """A panel a step, with its range of intensities below: each has a window of its own, and the steps from the first
    random one on share that of what it was given, so that they can be compared."""
    panels, window, is_drawn = [], None, False
    for number, step in enumerate(steps, start=1):
        is_drawn = is_drawn or step.is_random
        window = window if is_drawn else intensity_window(_channels(step.image))
        note = " x ".join(map(str, step.image.shape[1:])) + ("" if step.changed else ", unchanged")
        hidden = [later.label for later in steps[number:] if step.label is None and later.label is not None]
        where = hidden[0] if hidden and hidden[0].shape == step.image.shape[1:] else step.label
        panel = _panel(step.image, where, step.grid, labels, window, note, step.label is not None)
        low, high = _range(step.image)
        panels.append((f"{number} {step.name}", replace(panel, below=f"{_intensity(low)} to {_intensity(high)}")))
    return draw_panels(_in_rows(panels))


def _draw_batches(description: Description) -> bytes:
    spacing_mm = description.steps[-1].grid.spacing_mm
    volumes = [image if image.ndim == 4 else image[..., None] for image, _ in description.patches]
    window, panels = intensity_window(_channels(volumes[0])), []
    for number, (full, (_, label)) in enumerate(zip(volumes, description.patches, strict=True)):
        grid = Geometry(np.diag([*spacing_mm, 1.0]), full.shape[1:])
        title = f"batch {number // description.batch_size + 1}" if number % description.batch_size == 0 else ""
        panel = _panel(full, label.reshape(full.shape[1:]), grid, description.labels, window)
        panels.append((title, panel))
    return draw_panels(_in_rows(panels))


def _draw_schedule(schedules: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, bytes]:
    if not any(schedules.values()):
        return {}
    figure = new_figure(2.4)
    axes = titled(figure.add_subplot(), "Planned learning rate")
    for place, (name, points) in enumerate(schedules.items()):
        axes.plot(*zip(*points, strict=True), color=colour(place), linewidth=1.6, label=name_text(name))
    if len(schedules) > 1:
        axes.legend(frameon=False, fontsize=SMALL)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("step", fontsize=SMALL, color=MUTED)
    return {SCHEDULE: as_png(figure)}


def _panel(
    image: npt.NDArray,
    label: npt.NDArray | None,
    grid: Geometry,
    labels: Labels,
    window: Window | None,
    note: str = "",
    outlined: bool = True,
) -> Panel:
    """The slice with most label, of an image (C, X, Y, Z) that need not be one of a file; the label outlined or not."""
    channels = _channels(image)
    shown = np.stack([_coded(channel, window) for channel in channels])
    volume = Volume(shown if len(channels) > 1 else shown[0], grid)
    stack = make_stack(volume, {"label": None if label is None else label.astype(np.int32)}, labels)
    place, mask = fullest_slice(stack, ("label",)), "label" if outlined else None
    panel = slice_panel(stack, place, None, mask, note, (0.0, 255.0))
    return replace(panel, plane=PICTURE)  # no letters: steps may have turned or mirrored the patient


def _coded(channel: npt.NDArray, window: Window | None) -> npt.NDArray[np.uint8]:
    low, high = window or intensity_window([channel])
    return np.rint(np.clip((np.nan_to_num(channel, nan=low) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _channels(image: npt.NDArray) -> list[npt.NDArray]:
    return list(image) if len(image) == MOST_CHANNELS else [image[0]]


def _in_rows(panels: Sequence[tuple[str, Panel | None]]) -> list[tuple[str, Sequence[tuple[str, Panel | None]]]]:
    return [("", panels[start : start + IN_A_ROW]) for start in range(0, len(panels), IN_A_ROW)]


def _range(image: npt.NDArray) -> Window:
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _intensity(value: float) -> str:
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.4g}"


def _sizes(numbers: Sequence[float]) -> str:
    return markup.TIMES.join(f"{n:.3g}" if isinstance(n, float) else str(n) for n in numbers)


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else markup.duration(seconds)


def _short(n: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.3g} {letter}"
    return f"{n:g}"
