# ruff: noqa: E501
# A row of a table is one line.

from __future__ import annotations

from datetime import date
from time import thread_time
from typing import Any

import pytest

from models.templates.errors import TemplateError, TemplateLimitExceeded
from models.templates.go.functions import FUNCTION_NAMES, builtins
from models.templates.go.interpreter import execute
from models.templates.go.parser import parse_template
from models.templates.limits import Budget

DATA: dict[str, Any] = {
    "S": "abc", "E": "", "N": 3, "Z": 0, "F": 1.5, "T": True, "Nil": None,
    "L": ["a", "b", "c"], "M": {"b": 2.0, "a": "x"}, "D": {"E": {"F": "deep"}}, "Empty": [],
}  # fmt: skip


def render(text: str, data: Any = DATA) -> str:
    template = parse_template(text, FUNCTION_NAMES)
    return execute(template, data, builtins(lambda: date(2026, 3, 1)), Budget())


LANGUAGE = [
    # text, trimming, comments
    ("a {{- 1 -}} b", "a1b"),
    ("a {{-1}} b", "a -1 b"),
    ("a\r\n\t {{- /* c }} */ -}}\n b", "ab"),
    ("{{/* c */}}x{{- /* d */}} y", "x y"),
    ("{{ \"a\\tb\\u00e9\\x41\\101\" }}{{ `a\\n` }}", "a\tbéAAa\\n"),
    ("{{ 'a' }} {{ '\\n' }} {{ 0x1F }} {{ 0b11 }} {{ 017 }} {{ 0o17 }} {{ 1_000 }} {{ +2 }}", "97 10 31 3 15 15 1000 2"),
    ("{{ 1e3 }} {{ .5 }} {{ 1.0 }} {{ 1e6 }} {{ 1e-5 }} {{ 0x1p4 }}", "1000 0.5 1 1e+06 1e-05 16"),
    # values
    ("{{ .S }}{{ .D.E.F }}{{ $.S }}{{ (.D).E.F }}{{ .N }}{{ .F }}{{ .T }}", "abcdeepabcdeep31.5true"),
    ("{{ .Nope }}{{ .Nil }}|{{ .E }}|{{ .L }}|{{ .M }}", "<no value><no value>||[a b c]|map[a:x b:2]"),
    # if, with, else
    ("{{ if .S }}1{{ end }}{{ if .E }}2{{ else }}3{{ end }}{{ if .Z }}4{{ else if .N }}5{{ else }}6{{ end }}", "135"),
    ("{{ if .Empty }}1{{ end }}{{ if .Nil }}2{{ end }}{{ if 0.0 }}3{{ end }}{{ if -1 }}4{{ end }}{{ if .M }}5{{ end }}", "45"),
    ("{{ with .D.E }}{{ .F }}{{ end }}{{ with .E }}x{{ else }}{{ .S }}{{ end }}{{ with .E }}x{{ else with .N }}{{ . }}{{ end }}", "deepabc3"),
    # range
    ("{{ range .L }}{{ . }}{{ $.N }}{{ end }}{{ range .M }}{{ . }};{{ end }}{{ range 3 }}{{ . }}{{ end }}", "a3b3c3x;2;012"),
    ("{{ range $i, $e := .L }}{{ $i }}{{ $e }}{{ end }}{{ range $k, $v := .M }}{{ $k }}{{ $v }}{{ end }}{{ range $e := .L }}{{ $e }}{{ end }}",
     "0a1b2caxb2abc"),
    ("{{ range .Empty }}x{{ else }}none{{ end }}{{ range .Nope }}x{{ else }}nil{{ end }}{{ range 0 }}x{{ else }}0{{ end }}", "nonenil0"),
    ("{{ range .L }}{{ if eq . \"b\" }}{{ continue }}{{ end }}{{ . }}{{ end }}{{ range .L }}{{ if eq . \"b\" }}{{ break }}{{ end }}{{ . }}{{ end }}", "aca"),
    ("{{ range $i, $_ := .L }}{{ range $j, $_ := $.L }}{{ if gt $j $i }}{{ break }}{{ end }}{{ $j }}{{ end }};{{ end }}", "0;01;012;"),
    ("{{ $l := \"\" }}{{ $k := 0 }}{{ range $k, $l = .L }}{{ end }}{{ $k }}{{ $l }}", "2c"),
    # variables
    ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ $x = 3 }}{{ $x }}{{ end }}{{ $x }}{{ $x = \"s\" }}{{ $x }}", "231s"),
    ("{{ $x := .D }}{{ $x.E.F }}{{ with $y := .S }}{{ $y }}{{ end }}{{ if $z := .N }}{{ $z }}{{ end }}", "deepabc3"),
    # and, or, not, comparison
    ("{{ and 1 \"\" 2 }}|{{ and 1 2 }}|{{ or 0 \"\" }}|{{ or 0 7 8 }}|{{ not .E }}", "|2||7|true"),
    ("{{ and false (index .L 9) }}{{ or 1 (index .L 9) }}", "false1"),
    ("{{ .S | and true | printf \"%s!\" }}", "abc!"),
    ("{{ eq 1 2 1 }}{{ eq \"a\" \"b\" }}{{ ne 1 2 }}{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 2 2 }}{{ lt \"a\" \"b\" }}{{ eq .F 1.5 }}",
     "truefalsetruetruetruefalsetruetruetrue"),
    ("{{ eq .Nope nil }}{{ eq .Nope \"\" }}{{ ne .S nil }}{{ eq true .T }}", "truefalsetruetrue"),
    # len, index, slice
    ("{{ len .S }}{{ len \"é\" }}{{ len .L }}{{ len .M }}{{ index .L 1 }}{{ index .M \"a\" }}{{ index .M \"zz\" }}{{ index .D \"E\" \"F\" }}",
     "3232bx<no value>deep"),
    ("{{ slice .S 1 }}{{ slice .S 0 2 }}{{ slice .L 1 2 }}{{ slice .L }}{{ index \"A\" 0 }}", "bcab[b][a b c]65"),
    # print, printf
    ("{{ print 1 2 \"a\" \"b\" 3 4 }}|{{ println \"a\" 1 }}{{ print }}{{ print nil }}", "1 2ab3 4|a 1\n<nil>"),
    ("{{ printf \"%s|%d|%q|%v|%05d|%.2f|%t|%%|%x\" \"a\" 3 \"b\" 4 42 1.5 true 255 }}", 'a|3|"b"|4|00042|1.50|true|%|ff'),
    ("{{ printf \"%5s|%-5s|%.1s|%+d|% d|%#x|%X|%o|%b|%c|%U\" \"ab\" \"ab\" \"ab\" 1 2 255 255 8 5 65 65 }}",
     "   ab|ab   |a|+1| 2|0xff|FF|10|101|A|U+0041"),
    ("{{ printf \"%d\" \"a\" }}{{ printf \"%s\" 3 }}{{ printf \"%s\" }}{{ printf \"a\" 1 \"b\" }}{{ printf \"%z\" 1 }}{{ printf \"%\" }}",
     "%!d(string=a)%!s(int=3)%!s(MISSING)a%!(EXTRA int=1, string=b)%!z(int=1)%!(NOVERB)"),
    ("{{ printf \"%[2]s %[1]s\" \"a\" \"b\" }}{{ printf \"%*d\" 4 7 }}{{ printf \"%v %v %s\" nil true .L }}", "b a   7<nil> true [a b c]"),
    ("{{ printf \"%e %g %G %6.2f|%-8.3f|%08.2f|%+.1f\" 1.5 1e20 1e20 1.5 1.5 -1.5 2.0 }}",
     "1.500000e+00 1e+20 1E+20   1.50|1.500   |-0001.50|+2.0"),
    ("{{ printf \"%T %T %T %T\" 1 \"a\" 1.5 .L }}", "int string float64 []interface {}"),
    ("{{ \"abc\" | printf \"%s-%s\" \"x\" | printf \"%q\" }}{{ .S | len }}", '"x-abc"3'),
    # escapes
    (r'{{ js "\x7f\n\u2028" }}', "\x7f\\u000A\\u2028"),
    ("{{ html \"<a&'\\\">\" }} {{ urlquery \"a b&c/é\" }} {{ js \"it's <b>\" }}",
     "&lt;a&amp;&#39;&#34;&gt; a+b%26c%2F%C3%A9 it\\'s \\u003Cb\\u003E"),
    # templates
    ("{{ define \"m\" }}[{{ . }}{{ $ }}]{{ end }}{{ template \"m\" .S }}{{ range .L }}{{ template \"m\" . }}{{ end }}", "[abcabc][aa][bb][cc]"),
    ("{{ block \"b\" .S }}<{{ . }}>{{ end }}", "<abc>"),
    # Ollama's functions
    ("{{ json .M }}{{ json \"<é>\" }}{{ json .Nope }}{{ json 3 }}", '{"a":"x","b":2}"\\u003cé\\u003e"null3'),
    ("{{ currentDate }} {{ yesterdayDate \"x\" }} {{ toTypeScriptType .S }}", "2026-03-01 2026-02-28 any"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LANGUAGE, ids=[case[0][:60] for case in LANGUAGE])
def test_the_language_is_gos(text: str, expected: str) -> None:
    assert render(text) == expected


PARSE_ERRORS = [
    ("{{ .a", "template: :1: unclosed action"),
    ("x\n{{ nope }}", 'template: :2: function "nope" not defined'),
    ("{{ end }}", "template: :1: unexpected {{end}}"),
    ("{{ else }}", "template: :1: unexpected {{else}}"),
    ("{{ if .A }}", "template: :1: unexpected EOF"),
    ("{{ if }}{{ end }}", "template: :1: missing value for if"),
    ("{{ if .A }}{{ else }}{{ else }}{{ end }}", "template: :1: expected end; found {{else}}"),
    ("{{ $y }}", 'template: :1: undefined variable "$y"'),
    ("{{ if $x := 1 }}{{ end }}{{ $x }}", 'template: :1: undefined variable "$x"'),
    ("{{ break }}", "template: :1: {{break}} outside {{range}}"),
    ("{{ range .A }}{{ block \"b\" . }}{{ continue }}{{ end }}{{ end }}", "template: :1: {{continue}} outside {{range}}"),
    ('{{ .A | "x" }}', "template: :1: non executable command in pipeline stage 2"),
    ('{{ "a }}', "template: :1: unterminated quoted string"),
    ("{{ `a }}", "template: :1: unterminated raw quoted string"),
    ("{{ 'ab' }}", "template: :1: malformed character constant: 'ab'"),
    ("{{ (1 }}", "template: :1: unclosed left paren"),
    ("{{ 1) }}", "template: :1: unexpected right paren"),
    ("{{ 1x }}", 'template: :1: bad number syntax: "1x"'),
    ("{{ 99999999999999999999 }}", 'template: :1: integer overflow: "99999999999999999999"'),
    ("{{ .x! }}", "template: :1: bad character U+0021 '!'"),
    ("{{ é§ }}", "template: :1: bad character U+00A7 '§'"),
    ("{{ § }}", "template: :1: unrecognized character in action: U+00A7 '§'"),
    ("{{ .A, .B }}", 'template: :1: unexpected "," in operand'),
    ("{{ range $a, $b, $c := .x }}{{ end }}", "template: :1: too many declarations in range"),
    ("{{ true.x }}", 'template: :1: unexpected . after term "true"'),
    ("{{/* a }}", "template: :1: unclosed comment"),
    ("{{/* a */ b }}", "template: :1: comment ends before closing delimiter"),
    ('{{ define "x" }}a{{ end }}{{ define "x" }}b{{ end }}', 'template: :1: template: multiple definition of template "x"'),
    ("{{ template x }}", 'template: :1: unexpected "x" in template clause'),
    ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "template: :1: template is nested too deeply"),
    ("{{ if 1 }}" * 3000 + "{{ end }}" * 3000, "template: :1: template is nested too deeply"),
    ("x" * 600_000, "template: :1: template is too long"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), PARSE_ERRORS, ids=[case[0][:40] for case in PARSE_ERRORS])
def test_a_malformed_template_is_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text, FUNCTION_NAMES)
    assert str(caught.value) == message


EXECUTION_ERRORS = [
    ("{{ eq 1 \"1\" }}", ':1:3: executing "" at <eq 1 "1">: error calling eq: incompatible types for comparison: int and string'),
    ("{{ eq 1 1.0 }}", ':1:3: executing "" at <eq 1 1.0>: error calling eq: incompatible types for comparison: int and float64'),
    ("{{ eq 1 }}", ':1:3: executing "" at <eq 1>: error calling eq: missing argument for comparison'),
    ("{{ eq .L .L }}", ':1:3: executing "" at <eq .L .L>: error calling eq: non-comparable type []interface {}'),
    ("{{ lt true false }}", ':1:3: executing "" at <lt true false>: error calling lt: invalid type for comparison'),
    ("é\n{{ len .Nope }}", ':2:3: executing "" at <len .Nope>: error calling len: len of nil pointer'),
    ("{{ index .L 9 }}", ':1:3: executing "" at <index .L 9>: error calling index: index out of range: 9'),
    ("{{ index .L -1 }}", ':1:3: executing "" at <index .L -1>: error calling index: index out of range: -1'),
    ("{{ slice .S 2 1 }}", ':1:3: executing "" at <slice .S 2 1>: error calling slice: invalid slice index: 2 > 1'),
    ("{{ .Nope.Deep }}", ':1:3: executing "" at <.Nope.Deep>: nil pointer evaluating interface {}.Deep'),
    ("{{ .S.Deep }}", ":1:3: executing \"\" at <.S.Deep>: can't evaluate field Deep in type string"),
    ("{{ range .S }}{{ end }}", ":1:9: executing \"\" at <.S>: range can't iterate over abc"),
    ("{{ nil }}", ':1:3: executing "" at <nil>: nil is not a command'),
    ("{{ .S 1 }}", ':1:3: executing "" at <.S>: S is not a method but has arguments'),
    ("{{ $x := 1 }}{{ $x 1 }}", ":1:16: executing \"\" at <$x>: can't give argument to non-function $x"),
    ("{{ printf 1 }}", ':1:3: executing "" at <printf>: wrong type for value; expected string; got int'),
    ("{{ len }}", ':1:3: executing "" at <len>: wrong number of args for len: want 1 got 0'),
    ("{{ template \"x\" . }}", ':1:3: executing "" at <{{template "x" .}}>: template "x" not defined'),
    ("{{ define \"x\" }}{{ index . 5 }}{{ end }}{{ template \"x\" .L }}",
     ':1:19: executing "x" at <index . 5>: error calling index: index out of range: 5'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), EXECUTION_ERRORS, ids=[case[0] for case in EXECUTION_ERRORS])
def test_a_failing_template_says_where_and_why_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text)
    prefix = "template: x" if 'executing "x"' in message else "template: "
    assert str(caught.value) == prefix + message


HOSTILE = [
    "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}",
    "{{ range 1000000000 }}padding padding padding{{ end }}",
    '{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}',
    '{{ define "x" }}{{ template "x" . }}{{ template "x" . }}{{ end }}{{ template "x" . }}',
    '{{ $x := "aaaaaaaaaaaaaaaa" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}',
    '{{ $x := "<" }}{{ range 100 }}{{ $x = printf "%q%q" $x $x }}{{ end }}',
    '{{ printf "' + "%[1]1000000d" * 500 + '" 1 }}',
    '{{ $x := printf "%1000000d" 1 }}{{ print' + " $x" * 5000 + " }}",
    '{{ $x := printf "%1000000d" 1 }}{{ range 100000 }}{{ $y := slice $x 1 }}{{ end }}',
    '{{ $x := printf "%1000000d" 1 }}{{ range 1000 }}{{ $y := html $x }}{{ end }}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:60])
def test_a_hostile_template_ends_soon(text: str) -> None:
    template = parse_template(text, FUNCTION_NAMES)
    functions = builtins()
    seconds = []
    for _ in range(3):  # a collection of garbage may fall into one of them
        began = thread_time()
        with pytest.raises(TemplateLimitExceeded):
            execute(template, {}, functions, Budget())
        seconds.append(thread_time() - began)
    assert min(seconds) < 0.1
