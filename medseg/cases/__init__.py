"""From a folder to lists of cases."""

from medseg.cases.case import Case
from medseg.cases.lists import as_trained_on, evaluated_cases, list_images, split_cases, split_images

__all__ = ["Case", "as_trained_on", "evaluated_cases", "list_images", "split_cases", "split_images"]
