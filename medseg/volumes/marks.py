"""What the first bytes of a file say that it is, whatever its name says."""

from __future__ import annotations

MARKS = (
    (0, b"\x1f\x8b", "gzip data"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "a NIfTI header"),
    (4, b"n+2\0", "NIfTI-2"),
    (4, b"ni2\0", "a NIfTI-2 header"),
    (0, b"NRRD000", "NRRD"),
    (128, b"DICM", "DICOM"),
    (0, b"\x89PNG\r\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"\x93NUMPY", "an array of numpy"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"\\\x01\0\0", "ANALYZE, which does not tell left from right"),
    (0, b"\0\0\x01\\", "ANALYZE, which does not tell left from right"),
    (0, b"version https://git-lfs", "a pointer of Git LFS in the file's place"),
    (0, b"/annex/objects", "a pointer of git-annex in the file's place"),
    (0, b"<", "a web page"),
)
LONGEST = 348


def kind_of(start: bytes) -> str:
    """The kind of a file from its first `LONGEST` bytes, in words for a message."""
    marked = (kind for offset, mark, kind in MARKS if start[offset : offset + len(mark)].lower() == mark.lower())
    is_metaimage = b"ElementDataFile" in start or start.startswith((b"ObjectType", b"NDims"))
    return next(marked, "MetaImage" if is_metaimage else "something else")
