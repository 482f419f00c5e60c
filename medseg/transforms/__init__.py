"""MONAI dictionary transforms that MONAI lacks, one concept a file."""

from medseg.transforms.native_grid import ToNativeGridd
from medseg.transforms.patch import RandAffinePatchd
from medseg.transforms.read import ReadImaged, ReadLabeld
from medseg.transforms.save import SaveVolumed

__all__ = ["RandAffinePatchd", "ReadImaged", "ReadLabeld", "SaveVolumed", "ToNativeGridd"]
