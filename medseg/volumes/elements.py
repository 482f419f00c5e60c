"""The skeleton of a DICOM file: that no element claims more bytes than its file has.

GDCM, by which SimpleITK reads DICOM, takes the memory that a length asks for before it looks whether the file is so
long: one wrong byte can cost gigabytes. So the lengths are added up here before GDCM opens the file.

Source: DICOM PS3.5, 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixels); PS3.10, 7.1 (how a file begins).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import DataError, Fault
from medseg.volumes import packed

PREAMBLE, MARK = 128, b"DICM"
IMPLICIT, BIG_ENDIAN, DEFLATED = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"
META, SYNTAX, PIXELS = 0x0002, (0x0002, 0x0010), (0x7FE0, 0x0010)
ITEM, ITEM_END, ITEMS_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
DELIMITERS = 0xFFFE
# kinds of values, by how long a length they have
LONG_LENGTHS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_LENGTHS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
UNDEFINED = 0xFFFFFFFF
DEEPEST = 32  # sequences in sequences


def refuse_overlong(path: Path) -> None:
    """Walk through the elements of a file that is not empty.

    Raises:
        DataError: E104 no DICOM file; E102 an element reaches beyond the file, or beyond what holds it; E606 a deflated
            file, which unpacks without a limit.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[PREAMBLE : PREAMBLE + 4] != MARK:
            raise DataError(Fault("E104", "not a DICOM file", "take it out of the series' folder", file=path))
        try:
            syntax, place = _meta(content)
            if syntax == DEFLATED:
                fix = "write it without this packing, or convert it to NIfTI (dcm2niix)"
                raise DataError(Fault("E606", "a deflated file", fix, "another transfer syntax", "", path))
            walker = _Walker(content, ">" if syntax == BIG_ENDIAN else "<")
            walker.elements(place, len(content), syntax == IMPLICIT)
        except (struct.error, _Overlong) as error:
            raise DataError(Fault("E102", "the file is truncated or damaged", packed.COPY_AGAIN, file=path)) from error


class _Overlong(Exception):
    """An element does not fit into what holds it."""


def _meta(content: mmap.mmap) -> tuple[bytes, int]:
    """The transfer syntax, and where the elements that it rules begin."""
    walker, place, syntax = _Walker(content, "<"), PREAMBLE + 4, b""
    while place < len(content) and struct.unpack_from("<H", content, place)[0] == META:
        tag, _, value, length = walker.head(place, is_implicit=False)
        place = walker.element(place, len(content), is_implicit=False)
        if tag == SYNTAX:
            syntax = content[value : value + length].rstrip(b"\0 ")
    return syntax, place


@dataclass(frozen=True)
class _Walker:
    """Steps over elements and items. Each step returns the place behind it, and goes forwards."""

    content: mmap.mmap
    order: str  # of bytes, as `struct` writes it

    def head(self, place: int, is_implicit: bool) -> tuple[tuple[int, int], bytes, int, int]:
        """Tag, kind, place and length of the value of the element that begins at `place`."""
        group, number = struct.unpack_from(f"{self.order}HH", self.content, place)
        if is_implicit or group == DELIMITERS:
            return (group, number), b"", place + 8, struct.unpack_from(f"{self.order}I", self.content, place + 4)[0]
        kind = self.content[place + 4 : place + 6]
        if kind in LONG_LENGTHS:
            return (group, number), kind, place + 12, struct.unpack_from(f"{self.order}I", self.content, place + 8)[0]
        if kind not in SHORT_LENGTHS:
            raise _Overlong
        return (group, number), kind, place + 8, struct.unpack_from(f"{self.order}H", self.content, place + 6)[0]

    def element(self, place: int, end: int, is_implicit: bool, depth: int = 0) -> int:
        """Over one element, which must end at `end` at the latest."""
        tag, kind, value, length = self.head(place, is_implicit)
        if length == UNDEFINED and tag == PIXELS:
            return self.items(value, end, None, depth)
        if length == UNDEFINED and kind in (b"SQ", b"UN", b""):
            return self.items(value, end, is_implicit or kind == b"UN", depth)
        if value + length > end:
            raise _Overlong
        if kind == b"SQ":
            self.items(value, value + length, is_implicit, depth, is_open=False)
        return value + length

    def elements(self, place: int, end: int, is_implicit: bool, depth: int = 0, is_open: bool = False) -> int:
        """Over elements up to `end`, or where they are open up to the mark that ends their item."""
        while is_open or place < end:
            if is_open and struct.unpack_from(f"{self.order}HH", self.content, place) == ITEM_END:
                return place + 8
            if depth == 0 and not any(self.content[place : place + 8]) and not any(self.content[place:end]):
                return end  # padding
            place = self.element(place, end, is_implicit, depth)
        return place

    def items(self, place: int, end: int, is_implicit: bool | None, depth: int, is_open: bool = True) -> int:
        """Over items up to `end`, or where they are open up to their end mark; None: they hold packed pixels."""
        if depth == DEEPEST:
            raise _Overlong
        while is_open or place < end:
            tag, _, value, length = self.head(place, is_implicit=True)
            if tag == ITEMS_END and is_open:
                return value
            if tag != ITEM or (length != UNDEFINED and value + length > end):
                raise _Overlong
            if is_implicit is None:
                place = value + length
            elif length == UNDEFINED:
                place = self.elements(value, end, is_implicit, depth + 1, is_open=True)
            else:
                place = self.elements(value, value + length, is_implicit, depth + 1)
        return place
