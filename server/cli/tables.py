"""Tables without borders, in the layout of Ollama's command line: rows of cells in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from server.cli.formats import display_width

Row = Sequence[str]

_GAP = "    "
_FILLER = "  "
"""What stands in a cell below its last line."""


def render_table(rows: Sequence[Row], *, header: Row = (), wrap_at: int = 30) -> str:
    """Left-aligned columns, four spaces behind each cell; a header's last cell has one. Long cells are wrapped.

    # Compat: registry-store-cli 7.5, 7.7 (tablewriter 0.0.5 with SetNoWhiteSpace; printRow fills short cells with
    # two spaces, which widens an empty first column on the lines that continue a row).
    """
    cells = [[_wrap(cell, wrap_at) for cell in row] for row in rows]
    widths = [display_width(name) for name in header]
    for row in cells:
        widths += [0] * (len(row) - len(widths))
        for column, lines in enumerate(row):
            widths[column] = max(widths[column], *(display_width(line) for line in lines))
    return _header_line(header, widths) + "".join(_row_lines(row, widths) for row in cells)


def _header_line(header: Row, widths: Sequence[int]) -> str:
    if not header:
        return ""
    return _GAP.join(_pad(name, width) for name, width in zip(header, widths, strict=True)) + " \n"


def _row_lines(row: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    height = max((len(lines) for lines in row), default=0)
    text = ""
    for y in range(height):
        for lines, width in zip(row, widths, strict=False):
            text += _pad(lines[y] if y < len(lines) else _FILLER, width) + _GAP
        text += "\n"
    return text


def _pad(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))


def _wrap(cell: str, limit: int) -> list[str]:
    """Break between words so that the lines are as even as they can be; a word longer than the limit moves it.

    The sum over all lines but the last of (limit - length)² is smallest; of equal ways, the one that breaks earlier.
    """
    words = cell.replace("\n", " ").split(" ")
    lengths = [display_width(word) for word in words]
    limit = max(min(limit, max(display_width(line) for line in cell.split("\n"))), *lengths)
    n = len(words)
    cost, next_break = [0] * (n + 1), [n] * (n + 1)
    for i in range(n - 1, -1, -1):
        if sum(lengths[i:]) + n - i - 1 <= limit:
            continue
        length, best = -1, None
        for j in range(i + 1, n):
            length += lengths[j - 1] + 1
            if length > limit:
                break
            candidate = (limit - length) ** 2 + cost[j]
            if best is None or candidate < best:
                best, next_break[i] = candidate, j
        cost[i] = best or 0
    lines, i = [], 0
    while i < n:
        lines.append(" ".join(words[i : next_break[i]]))
        i = next_break[i]
    return lines
