"""A small table as lines of text, as Markdown and as LaTeX; no name that it holds can break it."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

GAP = "  "
MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "\u2212": "$-$", "\u2013": "--", "\u00b2": r"\textsuperscript{2}",
    "\u00d7": r"$\times$", "\u2264": r"$\leq$", "\u2265": r"$\geq$", "\u2026": r"\dots{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Cells of text.

    Attributes:
        head: one cell a column; no user's names.
        rows: as many cells each.
        names: how many columns, from the left, hold names (set to the left); the others hold numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


def plain(text: str) -> str:
    """A name on one line, without what a terminal would run."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(str(text).split()))


def shorten(text: str, longest: int) -> str:
    """A name of at most so many places: letters, of which some (Chinese ones) take two."""
    if _width(text) <= longest:
        return text
    cut = text[: longest - 1]
    while _width(cut) > longest - 1:
        cut = cut[:-1]
    return f"{cut}…"


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Different names of at most so many places, still different: cut at the end, or in the middle, or numbered."""
    whole = [plain(name) for name in names]
    short = [shorten(name, longest) for name in whole]
    if len(set(short)) == len(names):
        return short
    half = longest // 2
    short = [
        name if _width(name) <= longest else f"{shorten(name, half)}{_end(name, longest - half)}" for name in whole
    ]
    return [f"{shorten(name, longest - 4)} ({place})" if short.count(name) > 1 else name
            for place, name in enumerate(short, start=1)]  # fmt: skip


def _end(text: str, longest: int) -> str:
    """The last letters of a text, of at most so many places."""
    while _width(text) > longest:
        text = text[1:]
    return text


def as_text(table: Table) -> list[str]:
    """Aligned lines for a terminal, the head first."""
    cells = [[plain(cell) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(_width(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        GAP.join(
            cell + " " * (width - _width(cell)) if place < table.names else " " * (width - _width(cell)) + cell
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def as_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, where HTML and marks in names are text."""
    rule = [":--" if place < table.names else "--:" for place in range(len(table.head))]
    rows = [list(table.head), rule]
    rows += [[*map(markdown, row[: table.names]), *map(plain, row[table.names :])] for row in table.rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package."""
    columns = "l" * table.names + "r" * (len(table.head) - table.names)
    head = _latex_row([latex(cell) for cell in table.head])
    rows = [
        _latex_row([*map(latex, row[: table.names]), *(_latex_number(cell) for cell in row[table.names :])])
        for row in table.rows
    ]
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def latex(text: str) -> str:
    """A name as LaTeX would print it."""
    return "".join(LATEX.get(letter, letter) for letter in plain(text))


def markdown(text: str) -> str:
    """A name as Markdown would show it."""
    return MARKDOWN.sub(r"\\\1", html.escape(plain(text), quote=False))


def _latex_row(cells: Sequence[str]) -> str:
    """A row; one that began with a bracket or a star would be taken for an option of the row before."""
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return rf"{guard}{' & '.join(cells)} \\"


def _latex_number(cell: str) -> str:
    return re.sub(r"-(?=\d)", "$-$", latex(cell))


def _width(text: str) -> int:
    """How many places a terminal gives it."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)
