from __future__ import annotations

import pytest

from server.cli.repl.composing import Composer, Purpose

MESSAGE, SYSTEM, COMMAND = Purpose.MESSAGE, Purpose.SYSTEM, Purpose.COMMAND


@pytest.mark.parametrize(
    ("lines", "purpose", "text"),
    [
        (["hello"], MESSAGE, "hello"),
        ([""], MESSAGE, ""),
        (["two\nlines"], MESSAGE, "two\nlines"),
        (["/bye"], COMMAND, "/bye"),
        (['"""one line"""'], MESSAGE, "one line"),
        (['"""""""'], MESSAGE, '"'),
        (['""""""'], MESSAGE, ""),
        (['"""', "a", 'b"""'], MESSAGE, "\na\nb"),
        (['"""a', "", "/bye", '"""'], MESSAGE, "a\n\n/bye\n"),
        (['"""a', 'b """ c', '"""'], MESSAGE, 'a\nb """ c\n'),
        (["/set system be brief"], SYSTEM, "be brief"),
        (["/set  system   be   brief"], SYSTEM, "be brief"),
        (['/set system """be brief"""'], SYSTEM, "be brief"),
        (['/set system """be', 'brief"""'], SYSTEM, "be\nbrief"),
        (["/set system"], COMMAND, "/set system"),
        (['say """x"""'], MESSAGE, 'say """x"""'),
    ],
)
def test_lines_make_one_input(lines: list[str], purpose: Purpose, text: str) -> None:
    composer = Composer()
    *first, last = lines
    for line in first:
        assert composer.feed(line) is None
        assert composer.is_open
    composed = composer.feed(last)
    assert composed is not None
    assert (composed.purpose, composed.text) == (purpose, text)
    assert not composer.is_open


def test_a_composer_starts_anew_after_each_input_and_reset() -> None:
    composer = Composer()
    composer.feed('/set system """x')
    composer.reset()
    assert not composer.is_open
    composed = composer.feed("y")
    assert composed is not None and (composed.purpose, composed.text) == (MESSAGE, "y")
