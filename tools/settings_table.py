"""Write the table of environment variables into README.md: `python -m tools.settings_table`."""

from __future__ import annotations

from pathlib import Path

from server.settings import VARIABLES

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- settings: written by `python -m tools.settings_table` -->\n"
END = "<!-- end of settings -->"


def table() -> str:
    rows = [f"| `{variable.name}` | {variable.help} |\n" for variable in VARIABLES]
    return "".join(["| variable | meaning |\n|---|---|\n", *rows])


def with_table(text: str) -> str:
    """The README's text with the table in its place. Raises: ValueError when the marks are missing."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{README.name} has no place for the table")
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), encoding="utf-8")
