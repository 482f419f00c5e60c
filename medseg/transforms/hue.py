"""Colour pictures under another light: a random turn of the hue."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type

from medseg.settings import number
from medseg.transforms.gray import three_colours


class RandHued(MapTransform, Randomizable):
    """Turn the hue of colour images (3, X, Y[, Z]) by one random angle; float32.

    Hue is the angle of HSV (A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978,
    https://doi.org/10.1145/800248.807361). Value and saturation stay, so that each pixel keeps its largest and its
    smallest number and a grey one stays as it is; the images' range does not matter, if it is one for all three
    channels. Keys that are not named, masks above all, are not touched; a mask named by mistake is refused.

    Args:
        keys: colour images; all of them share one draw.
        degrees: the largest angle; it is drawn uniformly from [-degrees, degrees]. Red to green is 120 degrees.

    Raises:
        UsageError: E903, `degrees` is not between 0 and 360.
        DataError: E205, an image without three channels.
    """

    def __init__(self, keys: KeysCollection, degrees: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.degrees = number("degrees", degrees, 0, 360)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn each key's hue."""
        result = dict(data)
        degrees = self.R.uniform(-self.degrees, self.degrees)
        for key in self.key_iterator(result):
            turned = turn_hue(three_colours(key, data[key]), degrees)
            result[key] = convert_to_dst_type(turned, data[key], dtype=torch.float32)[0]
        return result


def turn_hue(image: torch.Tensor, degrees: float) -> torch.Tensor:
    """The image (3, …) with every hue `degrees` further from red towards green.

    With value V and chroma C = V - minimum, a colour of hue h (in sixths of the circle) has the channels
    V - C clamp(min(k, 4 - k), 0, 1), where k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue.
    """
    red, green, blue = image
    value, largest = image.max(0)
    chroma = value - image.amin(0)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    of_green_or_blue = torch.where(largest == 1, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(largest == 0, (green - blue) / divisor, of_green_or_blue) + degrees / 60
    starts = torch.tensor([5.0, 3.0, 1.0], device=image.device).reshape(3, *[1] * value.ndim)
    k = (starts + hue) % 6
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
