"""From a folder to lists of cases."""

from medseg.cases.case import Case
from medseg.cases.lists import list_images, split_cases

__all__ = ["Case", "list_images", "split_cases"]
