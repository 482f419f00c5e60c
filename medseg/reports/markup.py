"""Pieces of HTML. Every text is escaped here, and every file becomes part of the page."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from medseg.labels import PALETTE

TIMES = "\u00d7"  # the multiplication sign
LEAST_PIXELS = 640  # of a picture with many parts
SWIPE = '<p class="note narrow">Tables and figures wider than the window move when you swipe them sideways.</p>'
CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def text(value: Any) -> str:
    """Any value as text that is safe between tags and inside quoted attributes."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"), quote=True)


def page(title: str, css: str, body: str) -> str:
    """A whole document that may load nothing from outside."""
    return "".join(pieces(title, css, [body]))


def pieces(title: str, css: str, body: Iterable[str], script: str = "") -> Iterator[str]:
    """A whole document, piece by piece: pages with many pictures are large.

    It may load nothing from outside, and no script but `script` can run in it: the policy names its SHA-256.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"{CONTENT_POLICY}; script-src 'sha256-{digest}'" if script else CONTENT_POLICY
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n<main>\n"
    )
    for piece in body:
        yield piece
        yield "\n"
    yield f"</main>\n{f'<script>{script}</script>' if script else ''}</body>\n</html>\n"


def picture(png: bytes, alternative: str) -> str:
    """A PNG inside the page, with its size, so that nothing moves later; `alternative` is what it shows, in words."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of its header
    data = base64.b64encode(png).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{text(alternative)}">'


def wide_figure(picture: str, caption: str = "", least: int = LEAST_PIXELS) -> str:
    """A picture that moves sideways where there is too little room to see anything in it; its caption does not."""
    below = f'<figcaption class="note">{text(caption)}</figcaption>' if caption else ""
    return f'<figure><div class="wide"><div style="min-width:{least}px">{picture}</div></div>{below}</figure>'


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table with ready-made rows, which scrolls sideways where the window is narrow."""
    names = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(name: str | None, cells: Iterable[str], strong: int | None = None) -> str:
    """A table row of text, with or without a name; the cell numbered `strong` stands out."""
    shown = "".join(f"<td{' class=strong' if i == strong else ''}>{text(cell)}</td>" for i, cell in enumerate(cells))
    head = "" if name is None else f'<th scope="row">{text(name)}</th>'
    return f"<tr>{head}{shown}</tr>"


def label_row(index: int, name: str, note: str, columns: int) -> str:
    """A row that heads the rows of one label: its colour, its name and a note."""
    shown = f'<i class="swatch" style="{tint(index)}"></i>{text(name)}<span>{text(note)}</span>'
    return head_row(shown, columns)


def head_row(shown: str, columns: int) -> str:
    """A row that heads others, of ready-made HTML; it stays in sight where the table moves sideways."""
    return f'<tr class="label"><th colspan="{columns}" scope="rowgroup"><div class="stay">{shown}</div></th></tr>'


def note_row(note: str, columns: int) -> str:
    """A row of text over all columns, which stays in sight as well."""
    return f'<tr><td class="muted" colspan="{columns}"><div class="stay">{text(note)}</div></td></tr>'


def pairs(items: Iterable[tuple[str, Any]]) -> str:
    """A table of names and values."""
    rows = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in items)
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'


def tint(index: int) -> str:
    """A style that sets ``--colour`` to the colour of the label numbered `index`."""
    return f"--colour:rgb{PALETTE[index % len(PALETTE)]}"


def fact(name: str, value: str, note: str, main: bool = False) -> str:
    """A figure that the page leads with; `note` is HTML."""
    shown = f"<dt>{text(name)}</dt><dd>{text(value)}<small>{note}</small></dd>"
    return f"<div{' class=main' if main else ''}>{shown}</div>"


def count(n: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"
