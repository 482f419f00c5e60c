"""`medseg features`: what an encoder says of each image, one row a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai.networks.nets
import torch

from medseg import files
from medseg.cases import list_images
from medseg.errors import DataError, Fault, UsageError
from medseg.networks.fit import refuse_other_sizes
from medseg.workflows.trained_run import open_run

WITH_ENCODERS = "AutoEncoder, VarAutoEncoder, ViTAutoEnc or UNETR"

Row = dict[str, Any]


def write_features(run: str | Path, images: str | Path, out: str | Path, overwrite: bool = False) -> list[Row]:
    """Write a table of case, group and ``feature_0``, ``feature_1``, … of every image of a folder, and return it.

    Args:
        run: a run folder, or its bundle, of a network with an encoder (`encode`); it may give images or masks.
        images: a folder of images, or a data set; labels are not looked for.
        out: a CSV; it must not be there, unless `overwrite`.

    Raises:
        UsageError: E903, a network without an encoder.
        DataError: E503, the table is there already; what is wrong with an image.
        CheckpointError: the run has no weights.
    """
    opened, table = open_run(run), Path(out)
    if table.exists() and not overwrite:
        fix = "choose another --out, or pass --overwrite"
        raise DataError(Fault("E503", "the table is there already", fix, file=table))
    rows = []
    for item, image in opened.images(list_images(str(images))):
        given = image.as_tensor()[None].to(opened.device)  # type: ignore[attr-defined]
        found = encode(opened.network, given)[0].cpu().tolist()
        named = {f"feature_{place}": value for place, value in enumerate(found)}
        rows.append({"case": item["case"], "group": item["group"], **named})
    files.write_csv(table, rows)
    return rows


@torch.no_grad()
def encode(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The encoder's features of images (B, C, X, Y[, Z]), averaged over all places: (B, F).

    Of a convolutional or variational autoencoder F are the channels of its middle, of a vision transformer (or of
    `UNETR`, which has one) the width of its tokens.

    Raises:
        UsageError: E903, a network without an encoder.
        DataError: E204, images of another size than a vision transformer takes.
    """
    if isinstance(network, monai.networks.nets.AutoEncoder):
        return network.intermediate(network.encode(images)).flatten(2).mean(2)
    transformer = network.vit if isinstance(network, monai.networks.nets.UNETR) else network
    if isinstance(transformer, (monai.networks.nets.ViT, monai.networks.nets.ViTAutoEnc)):
        refuse_other_sizes(images, _size(network), type(network).__name__)
        tokens = transformer.patch_embedding(images)
        for block in transformer.blocks:
            tokens = block(tokens)
        return transformer.norm(tokens).mean(1)
    fix, found = "name a run of a network with one", type(network).__name__
    raise UsageError(Fault("E903", "this network has no encoder that is known", fix, WITH_ENCODERS, found))


def _size(network: Any) -> tuple[int, ...]:
    """The one size (X, Y[, Z]) that a vision transformer takes."""
    if isinstance(network, monai.networks.nets.UNETR):
        return tuple(count * side for count, side in zip(network.feat_size, network.patch_size, strict=True))
    return tuple(network.img_size)
