import html
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from medseg.reports.text_table import Table, as_latex, as_markdown, as_text, latex, plain, shorten, told_apart

HOSTILE = (
    "a|b", "a\\|b", "two\nlines", "<script>alert(1)</script>", "&amp;", "[x](http://y)", "![x](y)", "*bold*", "__x__",
    "`code`", "~~x~~", "$x$", "\\", "# x", "- x", "| --- |", "a\r\nb\x1b[31m", "a\u2028b", "a\u202eb", "<!-- x",
)  # fmt: skip


class Cells(HTMLParser):
    """The texts of a page's cells, row by row, and every element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.elements = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def test_text_is_aligned():
    table = Table(["", "n"], [["liver", "8"], ["a", "120"], ["肝臓", "7"]])
    assert as_text(table) == ["         n", "liver    8", "a      120", "肝臓     7"]  # 肝臓 takes four places


def test_text_holds_nothing_that_a_terminal_would_run():
    lines = as_text(Table(["label"], [["\x1b[2Jliver\x07\nx"]]))
    assert lines == ["label", " [2Jliver  x"]


def test_a_name_is_one_line_and_short():
    assert plain("  two\n lines\t\u2028of\u00a0it ") == "two lines of it"
    assert shorten("a" * 14, 14) == "a" * 14
    assert shorten("a" * 15, 14) == "a" * 13 + "…"


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_name_as_it_is(name):
    """Rendered by another program, the table has its rows and cells, and no element but a table's."""
    text = as_markdown(Table(["label", "stratum", "n"], [["x", "y", "1"], [name, name, "0.5 [0.4, 0.6]"]], names=2))
    page = Cells(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
    assert page.elements <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.rows == [["label", "stratum", "n"], ["x", "y", "1"], [plain(name).strip()] * 2 + ["0.5 [0.4, 0.6]"]]


def test_markdown_of_a_plain_table():
    assert as_markdown(Table(["label", "n"], [["liver", "8"], ["a_b", "-1"]])) == (
        "| label | n |\n| :-- | --: |\n| liver | 8 |\n| a\\_b | -1 |\n"
    )


def test_latex_of_a_plain_table():
    assert as_latex(Table(["Label", "Mean [95 % interval]"], [["liver", "-0.5 [-0.7, 0.2]"], ["a-b", "\u2013"]])) == (
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "Label & Mean [95 \\% interval] \\\\\n"
        "\\midrule\n"
        "liver & $-$0.5 [$-$0.7, 0.2] \\\\\n"
        "a-b & -- \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_latex_escapes():
    assert latex("50 % & a_b #1 $x$ {y} ~z ^w \\cmd <3 >2 |v| \u22120.5 mm²") == (
        r"50 \% \& a\_b \#1 \$x\$ \{y\} \textasciitilde{}z \textasciicircum{}w \textbackslash{}cmd \textless{}3 "
        r"\textgreater{}2 \textbar{}v\textbar{} $-$0.5 mm\textsuperscript{2}"
    )


@pytest.mark.parametrize("name", [*HOSTILE, "[h]", "*", "a & b \\\\ \\input{x}", "100%", "a % b"])
def test_no_name_breaks_latex(name):
    """As many cells as columns, nothing commented away, and nothing that the row before would take as its option."""
    row = as_latex(Table(["a", "b", "c"], [[name, name, "1"]], names=2)).splitlines()[4]
    bare = re.sub(r"\\(text\w+\{\}|dots\{\}|[%&_#${}])", "", row.removesuffix(" \\\\"))
    assert bare.count("&") == 2 and not set("%_#$^~\\") & set(bare)
    assert not row.startswith(("[", "*")) and row.endswith(" \\\\")


def test_html_in_markdown_is_escaped_for_every_renderer():
    assert html.escape("<b>") in as_markdown(Table(["label"], [["<b>"]]))


def test_a_name_is_cut_to_the_places_that_it_takes():
    assert shorten("liver", 5) == "liver"
    assert shorten("a liver", 5) == "a li…"
    assert shorten("肝臓肝臓", 8) == "肝臓肝臓"
    assert shorten("肝臓肝臓", 7) == "肝臓肝…"  # three of two places and the dots
    assert shorten("肝臓肝臓", 6) == "肝臓…"


def test_names_that_begin_alike_stay_apart():
    names = ["learning_rate=0.001,batch_size=2", "learning_rate=0.001,batch_size=4", "plain"]
    assert told_apart(names, 20) == ["learning_…tch_size=2", "learning_…tch_size=4", "plain"]
    assert told_apart(["first", "second"], 20) == ["first", "second"]
    alike = told_apart(["a" * 30, "a" * 31], 20)  # also by their ends: numbered
    assert len(set(alike)) == 2 and all(len(name) <= 20 for name in alike)
