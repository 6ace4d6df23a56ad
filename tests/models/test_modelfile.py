from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ModelfileError
from models.modelfile import (
    Command,
    ParameterValue,
    decode_modelfile,
    format_modelfile,
    parameters_of,
    parse_modelfile,
    parse_parameter,
    quote,
)

EXPECTED = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)


def commands(text: str) -> list[tuple[str, str, str, int]]:
    return [(c.name, c.key, c.value, c.line) for c in parse_modelfile(text).commands]


def values(text: str) -> list[str]:
    """The values of the commands behind a FROM."""
    return [command.value for command in parse_modelfile(f"FROM x\n{text}").commands[1:]]


def test_every_command_is_read_in_any_case() -> None:
    text = (
        "from a\nFROM ./b.gguf\nLicense MIT\nTEMPLATE {{ .Prompt }}\nSYSTEM be nice\nADAPTER c\nDRAFT d\n"
        "RENDERER e\nPARSER f\nPARAMETER top_k 3\nMESSAGE user hi there\nREQUIRES 0.1.0\n"
    )
    assert commands(text) == [
        ("from", "", "a", 1), ("from", "", "./b.gguf", 2), ("license", "", "MIT", 3),
        ("template", "", "{{ .Prompt }}", 4), ("system", "", "be nice", 5), ("adapter", "", "c", 6),
        ("draft", "", "d", 7), ("renderer", "", "e", 8), ("parser", "", "f", 9), ("parameter", "top_k", "3", 10),
        ("message", "user", "hi there", 11), ("requires", "", "0.1.0", 12),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SYSTEM   spaced \t out  ", ["spaced \t out"]),
        ("\n\n \t SYSTEM indented", ["indented"]),
        ("# SYSTEM no\nSYSTEM yes # not a comment", ["yes # not a comment"]),
        ("  # comment\r\n#\nSYSTEM a", ["a"]),
        ("SYSTEM\ttab", ["tab"]),
        ("SYSTEM ", [""]),
        ("SYSTEM \nLICENSE b", ["", "b"]),
        ('SYSTEM "quoted"', ["quoted"]),
        ('SYSTEM  "  inner  "  ', ["  inner  "]),
        ('SYSTEM "two\nlines"', ["two\nlines"]),
        ('SYSTEM "a" b\nLICENSE c"\nPARSER d', ['a" b\nLICENSE c', "d"]),
        ('SYSTEM """one"""', ["one"]),
        ('SYSTEM """a\n"b"\n\n  c  """\nPARSER d', ['a\n"b"\n\n  c  ', "d"]),
        ('SYSTEM """\ntext\n"""', ["\ntext\n"]),
        ('SYSTEM """"""', [""]),
        ('SYSTEM ""', [""]),
        ('SYSTEM """"\n"""', ['"\n']),
        ("SYSTEM 'single'", ["'single'"]),
        ('SYSTEM say "hi"', ['say "hi"']),
        ("SYSTEM a\rLICENSE b", ["a", "b"]),
        ('SYSTEM "a\r\nb"', ["a\r\nb"]),
        ("SYSTEM a\u00a0b\u200dc\u0007d\u00ade", ["abcde"]),
        ("SYSTEM \U0001f468\u200d\U0001f469", ["\U0001f468\U0001f469"]),
        ("\u00a0SYSTEM a", ["a"]),
    ],
)
def test_where_a_value_ends_and_what_it_holds(text: str, found: list[str]) -> None:
    assert values(text) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no FROM line"),
        ("SYSTEM a", "no FROM line"),
        ("# FROM x", "no FROM line"),
        ("BAD x", f"(line 1): {EXPECTED}"),
        ("FROM x\n\nBAD y", f"(line 3): {EXPECTED}"),
        ("FROM x\r\nBAD y", f"(line 3): {EXPECTED}"),
        ("FROM\nx", f"(line 2): {EXPECTED}"),
        ("FROM1 x", f"(line 1): {EXPECTED}"),
        ("1FROM x", f"(line 1): {EXPECTED}"),
        ("FROM:x", f"(line 1): {EXPECTED}"),
        ('FROM "a\n\nb"\nBAD y', f"(line 4): {EXPECTED}"),
        ("FROM x\nMESSAGE bob hi", '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM x\nMESSAGE User hi", '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM x\nMESSAGE us-er hi", "unexpected EOF: us"),
        ("FROM x\nPARAMETER top.k 1", "unexpected EOF: top"),
        ("FROM x\nPARAMETER top_k\n", "unexpected EOF: top_k"),
        ("FROM x\nPARAMETER top_k", "unexpected EOF"),
        ("FROM", "unexpected EOF"),
        ('FROM x\nSYSTEM "open', "unexpected EOF"),
        ('FROM x\nSYSTEM """open"', "unexpected EOF"),
        ('FROM x\nSYSTEM """', "unexpected EOF"),
        ('FROM x\nSYSTEM "', "unexpected EOF"),
    ],
)
def test_mistakes_are_told_in_ollamas_words(text: str, error: str) -> None:
    with pytest.raises(ModelfileError) as refused:
        parse_modelfile(text)
    assert str(refused.value) == error


def test_two_spaces_before_a_parameter_leave_it_without_a_name() -> None:
    modelfile = parse_modelfile("FROM x\nPARAMETER  top_k 1")
    assert modelfile.commands[1] == Command("parameter", "top_k 1", "")
    with pytest.raises(ModelfileError, match="unknown parameter ''"):
        parameters_of(modelfile)


def test_of_what_should_be_there_once_the_last_counts() -> None:
    modelfile = parse_modelfile("FROM a\nFROM b\nSYSTEM one\nSYSTEM two\nLICENSE c\nLICENSE d")
    assert (modelfile.last("from"), modelfile.last("system"), modelfile.last("parser")) == ("b", "two", "")
    assert modelfile.values("license") == ("c", "d")


def test_a_large_license_is_read_in_linear_time() -> None:
    text = 'FROM x\nLICENSE """' + "all rights reserved\n" * 50_000 + '"""'
    assert len(parse_modelfile(text).last("license")) == 1_000_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_come_in_several_encodings(encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert decode_modelfile(mark + "FROM ü".encode(encoding)) == "FROM ü"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert decode_modelfile(b"FROM \xff") == "FROM \ufffd"


# ---- parameters


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.7", 0.7), ("temperature", "1", 1.0), ("temperature", "-.5e1", -5.0),
        ("top_p", "0.123456789", 0.12345679), ("min_p", "3.4028235e38", 3.4028235e38), ("top_k", "40", 40),
        ("seed", "-1", -1), ("num_ctx", "+4096", 4096), ("main_gpu", "1", 1), ("use_mmap", "T", True),
        ("use_mmap", "false", False), ("stop", "<|end|>", ["<|end|>"]), ("stop", "", [""]),
        ("draft_num_predict", "0", 0),
    ],
)  # fmt: skip
def test_parameters_get_their_types(name: str, text: str, value: ParameterValue) -> None:
    found = parse_parameter(name, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("temperature", "hot", "invalid float value [hot]"), ("temperature", "", "invalid float value []"),
        ("temperature", "1e39", "invalid float value [1e39]"), ("temperature", "1_0", "invalid float value [1_0]"),
        ("temperature", "nan", "invalid float value [nan]"), ("top_k", "1.5", "invalid int value [1.5]"),
        ("top_k", "9223372036854775808", "invalid int value [9223372036854775808]"),
        ("top_k", "1" * 5000, f"invalid int value [{'1' * 5000}]"), ("use_mmap", "yes", "invalid bool value [yes]"),
        ("Temperature", "1", "unknown parameter 'Temperature'"), ("nope", "1", "unknown parameter 'nope'"),
    ],
)  # fmt: skip
def test_parameters_of_the_wrong_type_are_refused(name: str, text: str, error: str) -> None:
    with pytest.raises(ModelfileError) as refused:
        parse_parameter(name, text)
    assert str(refused.value) == error


def test_lists_accumulate_other_parameters_are_replaced_and_old_ones_skipped() -> None:
    modelfile = parse_modelfile(
        "FROM x\nPARAMETER stop a\nPARAMETER top_k 1\nPARAMETER use_mlock 2\nPARAMETER stop b\nPARAMETER top_k 2"
    )
    assert parameters_of(modelfile) == ({"stop": ["a", "b"], "top_k": 2}, ("use_mlock",))


# ---- writing


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", "plain"), ("", ""), ('say "hi"', 'say "hi"'), ("two\nlines", '"two\nlines"'),
        (" leading", '" leading"'), ("trailing ", '"trailing "'), ('"a"\nb', '""""a"\nb"""'), ("\ttab", "\ttab"),
    ],
)  # fmt: skip
def test_values_are_quoted_where_they_must_be(value: str, quoted: str) -> None:
    assert quote(value) == quoted


def test_commands_are_written_one_per_line() -> None:
    text = format_modelfile(
        [Command("from", "m"), Command("parameter", "0.5", "temperature"), Command("message", "a\nb", "user")]
    )
    assert text == 'FROM m\nPARAMETER temperature 0.5\nMESSAGE user "a\nb"\n'


@given(st.text(st.sampled_from('ab"\n #{}é'), max_size=12))
def test_what_is_written_is_read_again(value: str) -> None:
    """But for what the format cannot say: quotes at the ends (registry-store-cli 6.9)."""
    if '"' in (value[:1], value[-1:]) or '"""' in value:
        return
    again = parse_modelfile(format_modelfile([Command("from", "m"), Command("system", value)]))
    assert again.last("system") == value
