"""Ordinary pictures (PNG, JPEG, TIFF, GIF, BMP), through Pillow.

A picture has no millimetres: its grid's unit is the pixel. x runs to the right and y downwards on the screen, as in the
array of MONAI's ``PILReader``; the pages of a TIFF are z.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import PALETTE
from medseg.volumes import packed
from medseg.volumes.marks import LONGEST, kind_of
from medseg.volumes.volume import Volume

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP")  # Pillow knows more, some of which run programs
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's modes of more than 8 bits
READ_MODES = ("1", "L", "P", "RGB", *DEEP)
SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies grey values of 2 and 4 bits by
BAND_PIXELS = 1 << 20  # decoded pixels are copied, and turned into other kinds, in bands of about so many
BITS, COLOUR_MODEL, NUMBER_KIND = 258, 262, 339  # TIFF's tags
WHITE_IS_ZERO = 0
# what Pillow raises for damage
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)


def read_picture(path: Path, label: bool = False) -> Volume:
    """Read a picture: (X, Y, pages), or (3, X, Y, pages) where it has colours. See `medseg.volumes.read_volume`.

    EXIF rotation is applied; a transparency channel is dropped; colours that are all grey become one grey value. With
    `label`, the indices of a palette are the values. Grey values of 2 and 4 bits are as stored.

    Raises:
        DataError: E102 or E105 damaged, E104 not a picture, E106 too large, E204 an animation, E205 colours of more
            than 8 bits or of another model, or a label whose palette has white before black, E206 pages that differ in
            size or colour, E305 a label in colours.
    """
    with _opened(path) as picture:
        n_pages = _pages(path, picture)
        if picture.format == "PNG":
            picture.verify()  # the check sums
    array = _pixels(path, n_pages, label)
    if array.ndim == 4 and all(np.array_equal(array[..., 0], array[..., other]) for other in (1, 2)):
        array = array[..., 0].copy()
    if label and array.ndim == 4:
        fix = "write each label as one grey value, or as a picture with a palette"
        raise DataError(Fault("E305", "a label in colours", fix, "one number a pixel", "red, green, blue", path))
    array = array.T
    return Volume(array, Geometry(np.eye(4), array.shape[-3:], unit="px"))


def is_picture(volume: Volume) -> bool:
    """Whether a label map can be written as a picture: one page of whole numbers below 256, on the grid of pixels."""
    grid = volume.geometry
    return grid.unit == "px" and grid.shape[2] == 1 and volume.array.dtype == np.uint8 and volume.array.ndim == 3


def write_mask(path: Path, volume: Volume) -> Path:
    """Write a label map (X, Y, 1) as PNG whose indices are the labels; `read_picture` with `label` mirrors it.

    The palette shows 0 black and 1 white, as masks usually look, and the others in colours.

    Raises:
        DataError: E204, what is no picture: several pages, values of another type, millimetres.
    """
    if not is_picture(volume):
        found = f"{volume.array.shape} of {volume.array.dtype}, in {volume.geometry.unit}"
        fix = "write it as .nii.gz"
        raise DataError(Fault("E204", "not a mask of a picture", fix, "(X, Y, 1) of uint8, in px", found, path))
    picture = Image.fromarray(np.ascontiguousarray(volume.array[..., 0].T), "P")
    colours = [(0, 0, 0), (255, 255, 255), *itertools.islice(itertools.cycle(PALETTE), 254)]
    picture.putpalette([part for colour in colours for part in colour])
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return files.write_bytes(path, stream.getvalue())


def picture_geometry(path: Path) -> Geometry:
    """The grid alone. See `medseg.volumes.read_geometry`."""
    with _opened(path) as picture:
        n_pages, (width, height) = _pages(path, picture), picture.size
        if width != height and picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            width, height = ImageOps.exif_transpose(picture).size
    return Geometry(np.eye(4), (width, height, n_pages), unit="px")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture, not decoded yet; Pillow's errors as ours."""
    try:
        # from a path Pillow maps raw TIFF into memory, and then takes its width for its height where EXIF turns it
        with open(path, "rb") as stream, Image.open(stream, formats=FORMATS) as picture:
            yield picture
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path, str(error))) from error
    except Image.UnidentifiedImageError as error:
        with open(path, "rb") as stream:
            found = kind_of(stream.read(LONGEST))
        what, fix = "not a picture that Pillow reads", "check that it opens in a picture viewer; convert it to PNG"
        raise DataError(Fault("E104", what, fix, " or ".join(FORMATS), found, path)) from error
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not the file's
        is_short = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise DataError(packed.truncated(path) if is_short else packed.damaged(path, error)) from error


def _pages(path: Path, picture: Image.Image) -> int:
    """How many pages there are, where the header does not speak against decoding them."""
    n_pages = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # a camera's: the others are previews
    if n_pages > 1 and picture.format != "TIFF":
        fix = "save one picture a file, or the pages of a volume as TIFF"
        raise DataError(Fault("E204", "an animation", fix, "1 picture", str(n_pages), path))
    pixels = picture.width * picture.height
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        raise DataError(_too_large(path, f"{picture.width} x {picture.height} pixels"))
    n_bytes = n_pages * pixels * (4 if picture.mode in DEEP else len(picture.getbands()))
    if n_bytes > packed.MAX_BYTES:
        raise DataError(_too_large(path, f"{n_pages} pages, {n_bytes} bytes"))
    if picture.format != "TIFF":  # which knows packings that expand without a limit
        packed.refuse_oversize(path, pixels // 8, packed=True)  # a pixel takes a bit at least
    elif picture.info.get("compression") == "raw":
        packed.refuse_oversize(path, pixels // 8, packed=False)
    return n_pages


def _pixels(path: Path, n_pages: int, label: bool) -> npt.NDArray:
    """All pages as (pages, Y, X) or (pages, Y, X, 3)."""
    array = np.empty(0)
    with _opened(path) as picture:
        for index in range(n_pages):
            top = 0
            for band in _bands(path, picture, index, label):
                if not array.size:
                    array = np.empty((n_pages, picture.height, *band.shape[1:]), band.dtype)
                if array.shape[2:] != band.shape[1:]:
                    fix, found = "save one file a page", "colours and grey"
                    raise DataError(Fault("E206", "the pages differ in colour", fix, "one kind", found, path))
                array = array.astype(np.result_type(array, band), copy=False)  # pages may differ in depth
                array[index, top : top + len(band)] = band
                top += len(band)
    return array


def _bands(path: Path, picture: Image.Image, index: int, label: bool) -> Iterator[npt.NDArray]:
    """One page from the top, in pieces of (rows, X) or (rows, X, 3)."""
    size = picture.size
    picture.seek(index)
    if picture.size != size:
        found = f"{size} and {picture.size}"
        raise DataError(Fault("E206", "the pages differ in size", "save one file a page", "one size", found, path))
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    packings = _packings(picture)
    _refuse_model(path, picture, tags, packings)
    if label and picture.mode in ("P", "PA"):
        _refuse_backward_palette(path, picture)
    scale = next((SCALES[packing[:3]] for packing in packings if packing[:3] in SCALES), 1)
    ImageOps.exif_transpose(picture, in_place=True)  # decodes it
    n_rows = max(BAND_PIXELS // picture.width, 1)
    for top in range(0, picture.height, n_rows):
        band = picture.crop((0, top, picture.width, min(top + n_rows, picture.height)))
        if band.mode == "LA" or (band.mode == "PA" and label):
            band = band.getchannel(0)
        elif band.mode in ("RGBA", "RGBX") or (band.mode in ("P", "PA") and not label):
            band = band.convert("RGBA").convert("RGB")
        if band.mode not in READ_MODES:
            fix = "convert it to RGB, or to grey"
            raise DataError(Fault("E205", "colours of a model that is not read", fix, "grey or RGB", band.mode, path))
        yield _as_stored(np.asarray(band) // scale if scale != 1 else np.asarray(band), tags)


def _as_stored(array: npt.NDArray, tags: Mapping[int, Any]) -> npt.NDArray:
    """TIFF's own number type: Pillow holds int16 in 32 bits, and takes unsigned for signed or the reverse."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    bits, kind = tags.get(BITS, (0,))[0], tags.get(NUMBER_KIND, (1,))[0]
    if array.ndim == 2 and bits in (8, 16, 32) and kind in (1, 2, 3):
        return array.astype(f"{'uif'[kind - 1]}{bits // 8}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _packings(picture: Image.Image) -> list[str]:
    """Pillow's names for how the pixels are stored; decoding forgets them."""
    packings = [tile[3] for tile in getattr(picture, "tile", []) if tile[3]]
    return [str(packing if isinstance(packing, str) else packing[0]) for packing in packings]


def _refuse_model(path: Path, picture: Image.Image, tags: Mapping[int, Any], packings: list[str]) -> None:
    """Refuse what Pillow would read as something else: colours of 16 bits lose 8, inverted grey stays inverted."""
    if picture.mode not in DEEP and any(";16" in packing for packing in packings):
        fix = "save it with 8 bits a colour, or as grey values"
        raise DataError(Fault("E205", "colours of 16 bits would lose half of them", fix, "8 bits", "16 bits", path))
    if picture.mode in DEEP and tags.get(COLOUR_MODEL) == WHITE_IS_ZERO:
        fix = "save it with black as 0"
        raise DataError(Fault("E205", "grey values run backwards", fix, "black is 0", "white is 0", path))


def _refuse_backward_palette(path: Path, picture: Image.Image) -> None:
    """Refuse a mask of two greys whose index 0 is the brighter: whether white or index 0 is background is not said."""
    colours = [*(picture.getpalette("RGB") or []), 0, 0, 0, 0, 0, 0]  # a palette may hold one colour, of an empty mask
    first, second, highest = colours[:3], colours[3:6], int(np.asarray(picture.getchannel(0)).max())
    is_grey = len(set(first)) == len(set(second)) == 1
    if is_grey and highest <= 1 and first > second:
        fix = "if white is the structure, save it as grey values (Pillow: convert('L')); if black is, swap the colours"
        expected, found = "black is index 0, the background", f"0 is {first}, 1 is {second}"
        raise DataError(Fault("E205", "the palette runs backwards", fix, expected, found, path))


def _too_large(path: Path, found: str) -> Fault:
    fix = "make it smaller; if it really is this large, raise PIL.Image.MAX_IMAGE_PIXELS"
    expected = f"at most {Image.MAX_IMAGE_PIXELS} pixels and {packed.MAX_BYTES} bytes in all pages"
    return Fault("E106", "the header asks for too much memory", fix, expected, found, path)
