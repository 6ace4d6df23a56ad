"""The environment, as a table."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path

import pytest

from server.durations import MAX_DURATION, SECOND
from server.settings import BY_NAME, TRACE, VARIABLES, WITHOUT_EFFECT, Host, Settings, as_map, clean, help_text

MINUTE = 60 * SECOND


def read(**environment: str) -> Settings:
    return Settings.from_env({"HOME": "/home/me"} | environment)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        (":1234", "http://:1234"),
        (":0", "http://:0"),
        (":66000", "http://:11434"),
        (":-1", "http://:11434"),
        (":abc", "http://:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:", "http://1.2.3.4:11434"),
        ("1.2.3.4:5678", "http://1.2.3.4:5678"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("ollama.com", "https://ollama.com:443"),
        ("http://ollama.com", "http://ollama.com:80"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:8080", "https://1.2.3.4:8080"),
        ("http://1.2.3.4:99999", "http://1.2.3.4:80"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("::ffff:1.2.3.4", "http://1.2.3.4:11434"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com:8080/a/b/", "https://example.com:8080/a/b"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("foo://h", "foo://h:11434"),
    ],
)
def test_the_host_is_read(text: str, url: str) -> None:
    assert read(OLLAMA_HOST=text).host.url == url


def test_a_bad_port_is_reported_with_the_one_that_is_used() -> None:
    assert read(OLLAMA_HOST="http://h:99999").problems == (
        "OLLAMA_HOST=http://h:99999: invalid port 99999, using http://h:80",
    )
    assert read(OLLAMA_HOST="h:99").problems == ()


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("", 5 * MINUTE),
        ("10m", 10 * MINUTE),
        ("30", 30 * SECOND),
        ("0", 0),
        ("-1", MAX_DURATION),
        ("-5m", MAX_DURATION),
        ("1.5s", 1_500_000_000),
        ("soon", 5 * MINUTE),
        ("999999999999999999", MAX_DURATION),
    ],
)
def test_keep_alive_is_a_duration_or_seconds(text: str, ns: int) -> None:
    assert read(OLLAMA_KEEP_ALIVE=text).keep_alive_ns == ns


@pytest.mark.parametrize(("text", "seconds"), [("", 300.0), ("0", None), ("-1", None), ("90s", 90.0), ("10", 10.0)])
def test_a_load_timeout_from_zero_down_is_none(text: str, seconds: float | None) -> None:
    assert read(OLLAMA_LOAD_TIMEOUT=text).load_timeout_s == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", False),
        ("1", True),
        ("T", True),
        ("true", True),
        ("0", False),
        ("False", False),
        ("no", True),
        ("off", True),
    ],
)
def test_whatever_is_no_go_boolean_counts_as_true(text: str, value: bool) -> None:
    assert read(OLLAMA_NOPRUNE=text).no_prune is value


def test_a_flag_can_be_not_said() -> None:
    assert [read(OLLAMA_GO_TEMPLATE=text).go_template for text in ("", "0", "1")] == [None, False, True]


@pytest.mark.parametrize(
    ("text", "value"), [("", 512), ("7", 7), ("0", 0), ("-1", 512), ("x", 512), ("1.5", 512), ("1_0", 512)]
)
def test_a_number_that_is_none_leaves_the_default(text: str, value: int) -> None:
    settings = read(OLLAMA_MAX_QUEUE=text)
    assert settings.max_queue == value
    assert bool(settings.problems) == (text in ("-1", "x", "1.5", "1_0"))


def test_a_bad_value_is_reported_by_name() -> None:
    assert read(OLLAMA_MAX_QUEUE="many").problems == ("OLLAMA_MAX_QUEUE=many: expected a whole number, using 512",)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        *(("", logging.INFO), ("0", logging.INFO), ("false", logging.INFO), ("1", logging.DEBUG)),
        *(("true", logging.DEBUG), ("2", TRACE), ("9", TRACE), ("-1", logging.WARNING), ("-2", logging.ERROR)),
        ("loud", logging.INFO),
    ],
)
def test_the_log_level_is_a_flag_or_a_number(text: str, level: int) -> None:
    assert read(OLLAMA_DEBUG=text).log_level == level


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 256 << 20), ("1024", 1024), ("64k", 65536), ("1GiB", 1 << 30), ("10MB", 10 << 20), ("x", 256 << 20)],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert read(PUNA_MAX_BODY=text).max_body_bytes == size


def test_the_models_are_in_the_home_folder_unless_said_otherwise() -> None:
    assert read().models_dir == Path("/home/me/.ollama/models")
    assert read(OLLAMA_MODELS="~/models").models_dir == Path("~/models")


def test_lists_are_split_at_commas() -> None:
    assert read(OLLAMA_ORIGINS="http://a, app://*").origins == ("http://a", "app://*")


@pytest.mark.parametrize(
    ("text", "cleaned"), [(" x ", "x"), ("\"x'", "x"), ("\"' x '\"", " x "), ("x y", "x y"), ('""', "")]
)
def test_values_are_trimmed_of_spaces_then_of_quotes(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_every_variable_has_one_row_one_field_and_a_help_that_fits() -> None:
    assert len(BY_NAME) == len(VARIABLES) == len({v.field for v in VARIABLES})
    assert {v.field for v in VARIABLES} == {f.name for f in fields(Settings)} - {"home", "problems"}
    assert all(len(line) <= 100 for line in help_text().splitlines())


def test_who_sets_what_has_no_effect_is_told() -> None:
    assert set(BY_NAME) >= WITHOUT_EFFECT
    assert read(OLLAMA_VULKAN="1").problems == ("OLLAMA_VULKAN is set, but has no effect on this server",)


def test_the_help_is_in_columns() -> None:
    assert help_text(("OLLAMA_HOST",)) == f"      OLLAMA_HOST{' ' * 19}{BY_NAME['OLLAMA_HOST'].help}\n"


def test_the_values_in_force_can_be_shown() -> None:
    shown = as_map(read(OLLAMA_NOPRUNE="1", OLLAMA_ORIGINS="http://a,http://b"))
    assert (shown["OLLAMA_HOST"], shown["OLLAMA_NOPRUNE"]) == ("http://127.0.0.1:11434", "true")
    assert shown["OLLAMA_ORIGINS"] == "[http://a http://b]"


def test_the_default_host_is_loopback() -> None:
    assert read().host == Host()
