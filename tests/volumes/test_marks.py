import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medseg.volumes.marks import LONGEST, kind_of


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "GIF", "BMP"])
def test_pictures_are_told_by_their_mark(name):
    file = io.BytesIO()
    Image.new("L", (3, 4)).save(file, name)
    assert kind_of(file.getvalue()[:LONGEST]) == name


def test_volumes_are_told_by_their_mark():
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_bytes()
    assert kind_of(image[:LONGEST]) == "NIfTI"
    assert kind_of(nib.Nifti2Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_bytes()[:LONGEST]) == "NIfTI-2"
    assert kind_of(gzip.compress(image)[:LONGEST]) == "gzip data"
    assert kind_of(bytes(128) + b"DICM") == "DICOM"
    assert kind_of(b"ObjectType = Image\nNDims = 3\n") == "MetaImage"
    assert kind_of(b"NRRD0004\n") == "NRRD"


def test_what_stands_in_a_files_place_is_told_too():
    assert "LFS" in kind_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert kind_of(b"<!DOCTYPE html><html>") == "a web page"
    assert kind_of(b"") == kind_of(bytes(LONGEST)) == "something else"
