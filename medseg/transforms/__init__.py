"""MONAI dictionary transforms that MONAI lacks, one concept a file."""

from medseg.transforms.clahe import Clahed
from medseg.transforms.crf import RefineWithCRFd
from medseg.transforms.field import ErodeMaskd, ReadFieldd
from medseg.transforms.gray import ToGrayd
from medseg.transforms.holes import FillLabelHolesd
from medseg.transforms.hounsfield import RequireHounsfieldd
from medseg.transforms.hue import RandHued
from medseg.transforms.invert import InvertWithinBodyd
from medseg.transforms.n4 import CorrectBiasN4d
from medseg.transforms.native_grid import ToNativeGridd
from medseg.transforms.patch import RandAffinePatchd
from medseg.transforms.read import ReadImaged, ReadLabeld
from medseg.transforms.require_volume import RequireVolumed
from medseg.transforms.save import SaveVolumed
from medseg.transforms.spacing import SlabSpacingd
from medseg.transforms.window import WindowIntensityd

__all__ = [
    "Clahed",
    "CorrectBiasN4d",
    "ErodeMaskd",
    "FillLabelHolesd",
    "InvertWithinBodyd",
    "RandAffinePatchd",
    "RandHued",
    "ReadFieldd",
    "ReadImaged",
    "ReadLabeld",
    "RefineWithCRFd",
    "RequireHounsfieldd",
    "RequireVolumed",
    "SaveVolumed",
    "SlabSpacingd",
    "ToGrayd",
    "ToNativeGridd",
    "WindowIntensityd",
]
