import io
import math

import pytest
from PIL import Image

from medseg.reports import training_figures
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
