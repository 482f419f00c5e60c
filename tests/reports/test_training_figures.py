import io
import math

import numpy as np
import pytest
from PIL import Image

from medseg.errors import DataError
from medseg.reports import training_figures
from medseg.reports.iterations import read_iterations
from medseg.reports.training_figures import draw_training, validated


def log(epochs, **columns):
    """Rows as text; a column is a function of the epoch, and 25 iterations make an epoch."""
    given = {"epoch": lambda e: e, "iteration": lambda e: 25 * e, "loss": lambda e: 1 / e} | columns
    return [{name: str(value(epoch)) for name, value in given.items()} for epoch in range(1, epochs + 1)]


@pytest.fixture
def figures(monkeypatch):
    """Draws, and gives the figures themselves instead of their PNGs."""
    monkeypatch.setattr(training_figures, "as_png", lambda figure: figure)
    return draw_training


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def lines(axes):
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}


def test_losses_over_epochs_and_iterations(figures):
    drawn = figures(log(40, learning_rate=lambda e: 0.01), [])
    assert list(drawn) == ["loss.png"] and titles(drawn["loss.png"]) == ["Training loss", "Learning rate"]
    upper, lower = drawn["loss.png"].axes
    assert lines(upper)["total"] == [(e, pytest.approx(1 / e)) for e in range(1, 41)]
    assert lower.get_xlabel() == "epoch" and all(tick == round(tick) for tick in lower.get_xticks())
    (top,) = upper.child_axes
    assert top.get_xlabel() == "iteration"
    shown = {int(text.get_text().replace(",", "")): at for at, text in zip(top.get_xticks(), top.get_xticklabels(),
             strict=True)}  # fmt: skip
    assert len(shown) > 2 and all(at == pytest.approx(iteration / 25) for iteration, at in shown.items())


def one_cycle(steps, peak=0.005):
    """The learning rate of every step of a one-cycle schedule (cosines up and down again, to a 250,000th of the peak),
    and what a log of 25 steps an epoch holds of it: the rate after an epoch's last step."""
    up = 0.05 * (steps + 1) - 1
    rates = [peak * (1 / 25 + 24 / 25 * (1 - math.cos(math.pi * i / up)) / 2) if i <= up
             else peak * (4e-6 + (1 + math.cos(math.pi * (i - up) / (steps - up))) / 2)
             for i in range(steps + 1)]  # fmt: skip
    return rates[:-1], rates[25::25]


def written(folder, epochs, rates=None):
    """``iterations.csv`` of 25 iterations an epoch, whose losses are 1 / epoch, more or less by turns."""
    steps = range(1, 25 * epochs + 1)
    rates = rates or [0.01] * len(steps)
    rows = [f"{i},{(i - 1) // 25 + 1},{1 / ((i - 1) // 25 + 1) + 0.01 * (-1) ** i},{rates[i - 1]}" for i in steps]
    (folder / "iterations.csv").write_text("\n".join(["iteration,epoch,loss,learning_rate", *rows, ""]))
    return read_iterations(folder)


def test_every_iteration_is_drawn_and_epochs_are_over_it(figures, tmp_path):
    """Twenty epochs of 25 steps: the warm-up is over at step 25, within the first epoch."""
    rates, logged = one_cycle(500)
    rows = log(20, learning_rate=lambda e: logged[e - 1])
    upper, lower = figures(rows, [], written(tmp_path, 20, rates))["loss.png"].axes
    drawn = lines(upper)
    losses = [1 / ((i - 1) // 25 + 1) + 0.01 * (-1) ** i for i in range(1, 501)]
    assert drawn["each iteration"] == [(i, pytest.approx(loss)) for i, loss in enumerate(losses, start=1)]
    assert drawn["mean of an epoch"] == [(25 * e - 12, pytest.approx(1 / e)) for e in range(1, 21)]
    (rate,) = lower.get_lines()
    assert list(rate.get_xdata()) == list(range(1, 501)) and list(rate.get_ydata()) == pytest.approx(rates)
    assert 20 < np.argmax(rate.get_ydata()) < 26
    assert lower.get_xlabel() == "iteration"
    (top,) = upper.child_axes
    assert top.get_xlabel() == "epoch"
    shown = {int(text.get_text()): at for at, text in zip(top.get_xticks(), top.get_xticklabels(), strict=True)}
    assert len(shown) > 2 and all(at == pytest.approx(25 * epoch) for epoch, at in shown.items())


def test_a_rate_that_ends_near_nothing_is_drawn_on_a_linear_axis(figures, tmp_path):
    rates, logged = one_cycle(500)
    assert max(rates) / logged[-1] > 1e4
    for iterations in (None, written(tmp_path, 20, rates)):
        drawn = figures(log(20, learning_rate=lambda e: logged[e - 1]), [], iterations)["loss.png"].axes[-1]
        assert drawn.get_yscale() == "linear" and drawn.get_ylim()[0] == 0


def test_of_very_many_iterations_extremes_are_drawn(figures, tmp_path):
    iterations = written(tmp_path, 400)
    iterations.loss[[1234, 5678]] = 9, -3
    iterations.loss[77] = math.nan
    found = lines(figures(log(400), [], iterations)["loss.png"].axes[0])["each iteration"]
    assert len(found) < 1700 and [x for x, _ in found] == sorted({x for x, _ in found})
    assert {(1, found[0][1]), (1235, 9), (5679, -3)} <= set(found) and found[-1][0] == 10_000
    assert not any(math.isnan(loss) for _, loss in found)


@pytest.mark.parametrize("content", ["", "iteration,epoch,loss,learning_rate\n"])
def test_no_iterations(tmp_path, content):
    assert read_iterations(tmp_path) is None
    (tmp_path / "iterations.csv").write_text("iteration,epoch,loss,learning_rate\n")
    assert read_iterations(tmp_path) is None


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "iteration,epoch,loss,learning_rate\n1,1,high,0.1\n",
                                     "iteration,epoch,loss,learning_rate\n2,1,1,0.1\n1,1,1,0.1\n",
                                     "iteration,epoch,loss,learning_rate\n1,1,1\n",
                                     "iteration,epoch,loss,learning_rate\n1,nan,1,0.1\n"])  # fmt: skip
def test_damaged_iterations_are_refused_by_name(tmp_path, content):
    (tmp_path / "iterations.csv").write_text(content)
    with pytest.raises(DataError, match=r"E105.*iterations\.csv"):
        read_iterations(tmp_path)


def test_critics_have_axes_of_their_own_and_cycle_terms_stand_with_the_generator(figures):
    drawn = figures(
        log(5, loss_cycle=lambda e: 2, loss_critic=lambda e: -3, loss_discriminator_b=lambda e: 0.7,
            learning_rate=lambda e: 0.1, learning_rate_critic=lambda e: 0.2), []
    )["loss.png"]  # fmt: skip
    assert titles(drawn) == ["Generator loss", "Critic loss", "Learning rate"]
    assert [list(lines(axes)) for axes in drawn.axes] == [
        ["total", "cycle"], ["critic", "discriminator_b"], ["network", "critic"]
    ]  # fmt: skip


def test_they_are_pictures():
    Image.open(io.BytesIO(draw_training(log(1), [])["loss.png"])).verify()


def test_a_loss_that_is_no_number_leaves_a_gap(figures):
    rows = log(6, loss=lambda e: "nan" if e in (3, 4) else e)
    found = [value for _, value in lines(figures(rows, [])["loss.png"].axes[0])["total"]]
    assert [math.isnan(value) for value in found] == [False, False, True, True, False, False]


def test_nothing_but_gaps_is_not_drawn():
    assert draw_training(log(3, loss=lambda e: "nan"), []) == {}
    assert draw_training([], ["a"]) == {}


@pytest.mark.parametrize("epochs", [1, 2, 700])
def test_one_epoch_and_hundreds(figures, epochs):
    drawn = figures(log(epochs, learning_rate=lambda e: 10.0 ** (-e / 100)), [])["loss.png"]
    assert len(drawn.axes[-1].get_xticks()) <= 8
    assert len(drawn.axes[0].child_axes[0].get_xticks()) >= 1
    assert (drawn.axes[-1].get_yscale() == "log") is (epochs == 700)


def test_a_metric_a_figure_of_its_family_with_its_labels(figures):
    every = {"val_mean_dice": lambda e: 0.5 + e / 10, "val_dice_a_b": lambda e: 0.6, "val_dice_c": lambda e: 0.4,
             "val_iou_c": lambda e: 0.3, "val_hd95_mm_c": lambda e: 9, "val_hd95_px_c": lambda e: 8,
             "val_hd_prediction_to_reference_mm_c": lambda e: 7, "val_volume_difference_ml_c": lambda e: -2,
             "val_roc_auc_c": lambda e: 0.9, "val_odd": lambda e: 1, "val_mean_odd": lambda e: 1}  # fmt: skip
    rows = log(4, **every)
    drawn = figures(rows, ["c", "a_b"])
    assert {name: titles(figure) for name, figure in drawn.items()} == {
        "loss.png": ["Training loss"],
        "validation_dice.png": ["Validation Dice"],
        "validation_overlaps.png": ["IoU"],
        "validation_distances.png": ["HD95 (mm)", "HD95 (px)", "HD, prediction to reference (mm)"],
        "validation_others.png": ["Volume difference (ml)", "ROC AUC"],
    }
    dice = lines(drawn["validation_dice.png"].axes[0])
    assert list(dice)[:3] == ["c", "a_b", "mean"] and "best mean 0.900 (epoch 4)" in dice
    assert validated(rows)["hd_prediction_to_reference_mm"] == {"c": [(e, 7.0) for e in (1, 2, 3, 4)]}


def test_patches_of_held_out_cases_beside_those_of_training(figures, tmp_path):
    at_the_end = {"val_mean_dice": 0.5, "val_patch_dice": 0.3, "val_patch_loss": 2.0}
    every = {name: lambda e, value=value: value if e == 4 else "" for name, value in at_the_end.items()}
    drawn = figures(log(4, patch_dice=lambda e: e / 10, **every), [], written(tmp_path, 4))
    assert titles(drawn["loss.png"]) == ["Loss", "Learning rate"]
    loss = lines(drawn["loss.png"].axes[0])
    assert loss["held-out patches"] == [(100, 2.0)]  # where the epoch ends, after its validation
    assert loss["mean of an epoch"][0] == (13, 1.0)  # in the middle of its 25 iterations
    dice = lines(drawn["validation_dice.png"].axes[0])
    assert titles(drawn["validation_dice.png"]) == ["Dice"] and dice["held-out patches"] == [(4, 0.3)]
    assert dice["training patches"] == [(e, e / 10) for e in (1, 2, 3, 4)]


def test_epochs_without_validation_are_joined_over(figures):
    rows = log(6, val_dice_a=lambda e: 0.1 * e if e % 3 == 0 else "", val_mean_dice=lambda e: "")
    assert lines(figures(rows, ["a"])["validation_dice.png"].axes[0])["a"] == [
        (3.0, pytest.approx(0.3)),
        (6.0, pytest.approx(0.6)),
    ]


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "$x$", "_x", "\\frac{$", "ü" * 300, "a\nb"])
def test_names_of_labels_are_text(name):
    drawn = draw_training(log(3, **{f"val_dice_{name}": lambda e: 0.5, f"val_iou_{name}": lambda e: 0.5}), [name])
    assert list(drawn) == ["loss.png", "validation_dice.png", "validation_overlaps.png"]


def test_errors_of_rebuilt_images(figures):
    rows = log(4, val_mae=lambda e: 1 / e if e % 2 == 0 else "", val_mae_constant=lambda e: 0.9 if e % 2 == 0 else "")
    drawn = figures(rows, [])
    assert list(drawn) == ["loss.png", "validation_error.png"]
    found = lines(drawn["validation_error.png"].axes[0])
    assert found == {"network": [(2, 0.5), (4, 0.25)], "each image's median": [(2, 0.9), (4, 0.9)]}
