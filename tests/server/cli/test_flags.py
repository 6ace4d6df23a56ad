from __future__ import annotations

import pytest

from server.cli.errors import UsageError
from server.cli.flags import Flag, Kind, describe_flags, parse_arguments

FLAGS = (
    Flag("verbose", "Say more", short="v"),
    Flag("insecure", "Trust"),
    Flag("file", "Name of the file", Kind.STRING, short="f"),
    Flag("think", "Think", Kind.STRING, bare="true"),
    Flag("dimensions", "How many", Kind.INT),
)


@pytest.mark.parametrize(
    ("argv", "positionals", "given"),
    [
        ([], (), {}),
        (["a", "--verbose", "b"], ("a", "b"), {"verbose": True}),
        (["--verbose=false", "a"], ("a",), {"verbose": False}),
        (["--verbose=T"], (), {"verbose": True}),
        (["--file", "x", "a"], ("a",), {"file": "x"}),
        (["--file=x=y"], (), {"file": "x=y"}),
        (["--file", "--verbose"], (), {"file": "--verbose"}),
        (["--file="], (), {"file": ""}),
        (["-f", "x"], (), {"file": "x"}),
        (["-fx"], (), {"file": "x"}),
        (["-f=x"], (), {"file": "x"}),
        (["-vf", "x"], (), {"verbose": True, "file": "x"}),
        (["-vfx"], (), {"verbose": True, "file": "x"}),
        (["-v=false"], (), {"verbose": False}),
        (["--think", "high"], ("high",), {"think": "true"}),
        (["--think=high"], (), {"think": "high"}),
        (["--dimensions", "-12"], (), {"dimensions": -12}),
        (["a", "--", "--verbose", "-x"], ("a", "--verbose", "-x"), {}),
        (["-", "a"], ("-", "a"), {}),
        (["--verbose", "--verbose=false"], (), {"verbose": False}),
    ],
)
def test_flags_may_stand_anywhere(argv: list[str], positionals: tuple[str, ...], given: dict[str, object]) -> None:
    arguments = parse_arguments(argv, FLAGS)
    assert (arguments.positionals, arguments.given) == (positionals, given)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--x"], "unknown flag: --x"),
        (["--x=1"], "unknown flag: --x"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-vxy"], "unknown shorthand flag: 'x' in -xy"),
        (["--file"], "flag needs an argument: --file"),
        (["-f"], "flag needs an argument: 'f' in -f"),
        (["-vf"], "flag needs an argument: 'f' in -f"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---x"], "bad flag syntax: ---x"),
        (
            ["--dimensions", "ten"],
            'invalid argument "ten" for "--dimensions" flag: strconv.ParseInt: parsing "ten": invalid syntax',
        ),
        (
            ["--dimensions=9223372036854775808"],
            'invalid argument "9223372036854775808" for "--dimensions" flag: '
            'strconv.ParseInt: parsing "9223372036854775808": value out of range',
        ),
        (
            ["-v=maybe"],
            'invalid argument "maybe" for "-v, --verbose" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_what_cannot_be_parsed_is_refused_in_the_words_of_pflag(argv: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(argv, FLAGS)
    assert str(caught.value) == text


def test_flags_that_were_not_named_read_as_empty() -> None:
    arguments = parse_arguments([], FLAGS)
    assert (arguments.flag("verbose"), arguments.text("file"), arguments.number("dimensions")) == (False, "", 0)
    assert not arguments.is_given("think")


def test_the_description_is_sorted_and_in_columns() -> None:
    assert describe_flags(FLAGS) == (
        "      --dimensions int          How many\n"
        "  -f, --file string             Name of the file\n"
        "      --insecure                Trust\n"
        '      --think string[="true"]   Think\n'
        "  -v, --verbose                 Say more\n"
    )
