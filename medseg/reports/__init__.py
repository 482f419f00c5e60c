"""Read the files of a run, write tables, figures and pages; never touch a network."""

from medseg.reports.run_report import write_report
from medseg.reports.score_lines import score_lines
from medseg.reports.score_tables import write_scores

__all__ = ["score_lines", "write_report", "write_scores"]
