"""`medseg …`: parse, call one function, print. Imports what a command needs inside that command."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from medseg import __version__, errors

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Segmentation of medical images: train, evaluate and apply MONAI bundles.")  # fmt: skip
bundle_app = typer.Typer(no_args_is_help=True, help="Work with one bundle.")
app.add_typer(bundle_app, name="bundle")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Segmentation of medical images: train, evaluate and apply MONAI bundles."""
    if show:
        typer.echo(__version__)
        raise typer.Exit()


@app.command()
def bundles() -> None:
    """List the bundles and their methods."""
    from medseg.workflows.bundles import bundle_names, find_bundle, methods

    for name in bundle_names():
        typer.echo("  ".join([name, *methods(find_bundle(name))]))


@bundle_app.command("copy")
def bundle_copy(name: str, folder: Path) -> None:
    """Copy a bundle to a new FOLDER, to change it or to run it with `python -m monai.bundle run`."""
    from medseg.workflows.bundles import copy_bundle

    typer.echo(copy_bundle(name, folder))


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    bundle: Annotated[str, typer.Argument(help="A bundle's name, or a folder with configs/train.yaml.")],
    workflow: Annotated[str, typer.Argument(help="train, evaluate or infer.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")] = None,
    method: Annotated[str | None, typer.Option(help="One of the bundle's further methods.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder (dataset_dir).")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder (output_dir).")] = None,
) -> None:
    """Train, evaluate or apply a bundle; prints the `python -m monai.bundle` command that it stands for."""
    from medseg.workflows.bundles import config_files, find_bundle
    from medseg.workflows.run import checked_path, command_line, parse_overrides, run_bundle

    root = find_bundle(bundle).absolute()
    files = config_files(root, workflow, method)
    where = out or Path("predictions" if workflow == "infer" else "runs") / root.name / (method or "default")
    settings = {"bundle_root": checked_path("bundle", root), "output_dir": checked_path("--out", where)}
    if data is not None:
        settings["dataset_dir"] = checked_path("--data", data)
    settings |= parse_overrides(overrides or [])
    typer.echo(command_line(files, settings), err=True)
    run_bundle(files, settings)
    _say_where(Path(settings["output_dir"]))


@app.command()
def phantom(
    task: Annotated[str, typer.Argument(help="A bundle's name, or a data-set layout's (drive, msd, …).")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    cases: Annotated[
        int, typer.Option(min=1, help="Training cases; a quarter as many test cases come with them.")
    ] = 24,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write made-up cases in the layout of a task's data set."""
    from medseg.cases.phantoms import write_phantom

    typer.echo(write_phantom(task, folder, cases, seed))


@app.command()
def cases(
    folder: Annotated[Path, typer.Argument(help="A data folder, as downloaded.")],
    layout: Annotated[str | None, typer.Option(help="The layout's name, where the folder fits several.")] = None,
    drop_empty: Annotated[bool, typer.Option("--drop-empty", help="Read the labels; leave out what has none.")] = False,
) -> None:
    """Say what a data folder holds: its layout, cases, slices, and what was ignored and why."""
    from medseg.cases.layouts import read_data_set
    from medseg.cases.summary import describe

    for name, value in describe(read_data_set(folder, layout), drop_empty):
        typer.echo(f"{name:15s}{value}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A data folder, as downloaded.")],
    layout: Annotated[str | None, typer.Option(help="The layout's name, where the folder fits several.")] = None,
    labels: Annotated[str | None, typer.Option(help="What the values mean: background=0,liver=1,tumour=2.")] = None,
    out: Annotated[Path, typer.Option(help="Where the page and the table go.")] = Path("check"),
    fix: Annotated[Path | None, typer.Option(help="A new folder for a copy with all safe repairs.")] = None,
) -> None:
    """Read every case of a data folder and report all that is wrong, with a picture of each finding.

    Exits with 1 where training would refuse the data.
    """
    from medseg.cases.check_all import check_data_set
    from medseg.cases.layouts import read_data_set
    from medseg.cases.repair import CHANGES, write_repaired
    from medseg.labels import parse_labels
    from medseg.reports.check_page import findings_by_kind, page_folder, write_check

    names = None if labels is None else parse_labels(labels)
    place = page_folder(out, folder)
    found = check_data_set(read_data_set(folder, layout), names)
    for line in findings_by_kind(found):
        typer.echo(line)
    typer.echo(write_check(found, folder, place))
    if fix is not None:
        changes = write_repaired(found, folder, fix)
        typer.echo(f"{len(changes)} repairs, listed in {fix / CHANGES}")
    if found.errors:
        raise typer.Exit(1)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="A folder of label maps named by case, or one file.")],
    references: Annotated[Path, typer.Argument(help="Label maps of those names, a data set, or one file.")],
    labels: Annotated[str | None, typer.Option(help="What the values mean: background=0,liver=1+2,tumour=2.")] = None,
    out: Annotated[Path, typer.Option(help="Where the tables and figures go.")] = Path("scores"),
    metrics: Annotated[str | None, typer.Option(help="dice,hd95,…; or all.")] = None,
    tolerance: Annotated[str, typer.Option(help="Of surface Dice, in mm (px): 1.0, or liver=2,tumour=1.")] = "1.0",
    probabilities: Annotated[Path | None, typer.Option(help="Maps <case> or <case>_<label>: ROC AUC, Brier, …")] = None,
    table: Annotated[Path | None, typer.Option(help="A CSV with a column case: patients, strata.")] = None,
    by: Annotated[list[str] | None, typer.Option(metavar="COLUMN[=CUT,…]", help="Also by strata: location.")] = None,
    layout: Annotated[str | None, typer.Option(help="The references' layout, where they fit several.")] = None,
    only_predicted: Annotated[bool, typer.Option("--only-predicted", help="Leave out what has no prediction.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Over tables that are there already.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core, at most 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals' resampling.")] = 0,
) -> None:
    """Score predicted masks against references: every case and label, with intervals, baselines and figures."""
    from medseg.cases.score_settings import parse_settings, parse_strata, tables_folder
    from medseg.cases.scoring import score_folders
    from medseg.reports.score_tables import write_scores

    settings = parse_settings(labels, metrics, tolerance, probabilities is not None)
    strata = parse_strata(by or [])
    inputs = [path for path in (predictions, references, probabilities) if path is not None]
    folder = tables_folder(out, inputs, table, overwrite)
    scores = score_folders(predictions, references, settings, layout, only_predicted, probabilities, table,
                           strata, workers)  # fmt: skip
    for line in scores.notes:
        typer.echo(line, err=True)
    pooled = scores.confusion, scores.curves, scores.labels
    for line in write_scores(scores.rows, folder, scores.metrics, scores.baselines, strata.items(), seed, pooled):
        typer.echo(line)
    typer.echo(folder)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    budget_mb: Annotated[float, typer.Option("--budget-mb", help="Most megabytes that the page may take.")] = 50.0,
) -> None:
    """Write a run's page: scores, curves, and every case with slices to scroll through, in one file."""
    from medseg.reports import write_report
    from medseg.settings import number

    typer.echo(write_report(run, number("--budget-mb", budget_mb, 0.0, math.inf)))


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="[NAME=]RUN...", help="Run folders, or folders of seeds or folds.")
    ],
    out: Annotated[Path, typer.Option(help="Where the page, the tables and figures go.")] = Path("comparison"),
    published: Annotated[Path | None, typer.Option(help="A YAML of published scores to stand beside ours.")] = None,
    metrics: Annotated[str | None, typer.Option(help="dice,hd95,…; by default all that the runs share.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    budget_mb: Annotated[float, typer.Option("--budget-mb", help="Most megabytes that the page may take.")] = 50.0,
) -> None:
    """Compare methods on the same cases: paired tests, intervals, ranks, and their worst cases side by side."""
    from medseg.reports.comparison.method_runs import name_methods
    from medseg.reports.comparison.write import write_comparison
    from medseg.settings import number

    size = number("--budget-mb", budget_mb, 0.0, math.inf)
    for line in write_comparison(name_methods(runs), out, published, _listed(metrics), seed, size):
        typer.echo(line)


@app.command(context_settings={"ignore_unknown_options": True})
def describe(
    bundle: Annotated[str, typer.Argument(help="A bundle's name, or a folder with configs/train.yaml.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")] = None,
    method: Annotated[str | None, typer.Option(help="One of the bundle's further methods.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder; without it, made-up cases.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the page and its figures go.")] = None,
) -> None:
    """Show what a bundle does before it trains: its network, what each transform does to a case, and its speed."""
    from medseg.workflows.bundles import config_files, find_bundle
    from medseg.workflows.describe import describe_bundle
    from medseg.workflows.run import checked_path, parse_overrides

    root = find_bundle(bundle).absolute()
    files = config_files(root, "train", method)
    settings = parse_overrides(overrides or [])
    if data is not None:
        settings["dataset_dir"] = checked_path("--data", data)
    for line in describe_bundle(root, files, settings, out or Path("descriptions") / root.name / (method or "default")):
        typer.echo(line)


@app.command(context_settings={"ignore_unknown_options": True})
def study(
    bundle: Annotated[str, typer.Argument(help="A bundle's name, or a folder with configs/study.yaml.")],
    data: Annotated[Path, typer.Option(help="The data folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of all runs.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; by default studies/<bundle>.")] = None,
    budget: Annotated[str, typer.Option(help="One that study.yaml names: tiny, hours, paper.")] = "hours",
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs a method; 3, or one of each fold.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Cross-validate: each case is scored once.")] = None,
    methods: Annotated[str | None, typer.Option(help="Some of study.yaml's, with commas; by default all.")] = None,
    equal: Annotated[str | None, typer.Option(help="What all methods get the same of: updates or time.")] = None,
    subset: Annotated[
        str | None, typer.Option(help="Which cases are scored: validate, or test; by default the budget's word.")
    ] = None,
) -> None:
    """Train and evaluate a task's methods in turn, then compare them. The same command goes on where it stopped."""
    from medseg.workflows.run import parse_overrides
    from medseg.workflows.studies.study import run_study

    settings = parse_overrides(overrides or [])
    for line in run_study(bundle, data, out, budget, seeds, _listed(methods), equal, subset, folds, settings):
        typer.echo(line)


@app.command(context_settings={"ignore_unknown_options": True})
def sweep(
    bundle: Annotated[str, typer.Argument(help="A bundle's name, or a folder with configs/train.yaml.")],
    keys: Annotated[list[str], typer.Argument(metavar="KEY=V1,V2...", help="Keys to vary; KEY=V sets one for all.")],
    data: Annotated[Path, typer.Option(help="The data folder.")],
    out: Annotated[Path | None, typer.Option(help="The sweep's folder; by default sweeps/<bundle>.")] = None,
    method: Annotated[str | None, typer.Option(help="One of the bundle's further methods.")] = None,
    budget: Annotated[str | None, typer.Option(help="One that study.yaml names; or set epochs= or minutes=.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs a combination.")] = 1,
    equal: Annotated[str | None, typer.Option(help="What all get the same of: updates or time.")] = None,
) -> None:
    """Train and evaluate every combination of the values of some settings, then compare them."""
    from medseg.workflows.studies.sweep import run_sweep

    for line in run_sweep(bundle, data, keys, out, method, budget, seeds, equal):
        typer.echo(line)


@app.command()
def mixtures(
    folder: Annotated[Path, typer.Argument(help="A data folder with labels, as downloaded.")],
    out: Annotated[Path, typer.Option(help="Where the table and the picture go.")] = Path("mixtures"),
    layout: Annotated[str | None, typer.Option(help="The layout's name, where the folder fits several.")] = None,
) -> None:
    """Fit a Gaussian mixture to every axial slice, of as many components as it has labels: what intensity can tell."""
    from medseg.workflows.mixtures import tabulate_mixtures

    for line in tabulate_mixtures(folder, out, layout):
        typer.echo(line)


@app.command()
def reconstruct(
    run: Annotated[Path, typer.Argument(help="A run folder of a method that rebuilds images.")],
    images: Annotated[Path, typer.Argument(help="A folder of images, or a data set.")],
    out: Annotated[Path, typer.Option(help="Where volumes, pictures and the table go.")] = Path("reconstructions"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Over what is there already.")] = False,
) -> None:
    """Rebuild images with an autoencoder: a volume, a picture and the error of each."""
    from medseg.workflows.reconstruct import reconstruct_images

    for line in reconstruct_images(run, images, out, overwrite):
        typer.echo(line)
    typer.echo(out)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run folder of a variational autoencoder that rebuilds images.")],
    n: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    out: Annotated[Path, typer.Option(help="Where volumes and their picture go.")] = Path("samples"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same volumes.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Over what is there already.")] = False,
) -> None:
    """Draw new images from a variational autoencoder."""
    from medseg.workflows.sample import sample_images

    for line in sample_images(run, n, out, seed, overwrite):
        typer.echo(line)


@app.command()
def features(
    run: Annotated[Path, typer.Argument(help="A run folder of an autoencoder, a ViT or UNETR.")],
    images: Annotated[Path, typer.Argument(help="A folder of images, or a data set.")],
    out: Annotated[Path, typer.Option(help="The table to write.")] = Path("features.csv"),
    classify: Annotated[Path | None, typer.Option(help="A CSV case,label[,group]: fit a linear classifier.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the classifier's folds.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Over a table that is there already.")] = False,
) -> None:
    """Write what an encoder says of each image, and how well a linear classifier tells cases apart by it."""
    from medseg.workflows.classify import classify_features
    from medseg.workflows.features import write_features

    rows = write_features(run, images, out, overwrite)
    for line in [] if classify is None else classify_features(rows, classify, seed):
        typer.echo(line)
    typer.echo(out)


@app.command()
def download(
    task: Annotated[str, typer.Argument(help="A task of the Medical Segmentation Decathlon: Task04_Hippocampus.")],
    folder: Annotated[Path, typer.Argument(help="Where the task's folder will be.")] = Path("."),
) -> None:
    """Fetch a public data set and compare its check sum."""
    from medseg.cases.download import download_task

    typer.echo(download_task(task, folder))


def _listed(names: str | None) -> list[str] | None:
    """Names with commas between them."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _say_where(folder: Path) -> None:
    """Scores, where there are any, and the place to look at."""
    page = folder / "report.html"
    if page.is_file():
        from medseg.reports import score_lines

        for line in score_lines(folder):
            typer.echo(line)
    typer.echo(page if page.is_file() else folder)


def main() -> None:
    """Entry point: one clear message and an exit code instead of a traceback, for errors that are ours."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait slow each other down
    try:
        app()
    except Exception as error:
        ours = errors.find(error)
        if ours is None:
            raise
        sys.stderr.write(f"medseg: {ours}\n")
        sys.exit(ours.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("medseg: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
