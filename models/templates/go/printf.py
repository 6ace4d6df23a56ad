"""Go's printf.

Source: Go, fmt/print.go (doPrintf, badVerb), fmt/format.go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from models.templates.errors import TemplateLimitExceeded
from models.templates.go.printing import MAX_CHARS, text_of
from models.templates.go.values import Struct, Value, type_name
from registry.gojson import quote

MAX_WIDTH = 1_000_000
MAX_QUOTED = 200_000
"""Characters of a text for `%q`, which looks at each."""

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?:\[(?P<first>\d+)\])?(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+)?(?P<dot>))?"
    r"(?:\[(?P<index>\d+)\])?(?P<verb>.?)",
    re.DOTALL,
)


def sprintf(layout: str, arguments: Sequence[Value]) -> str:
    """The text of a format with its arguments; what does not fit is told in the text, as Go does."""
    return _Printer(arguments).run(layout)


class _Spec:
    """One `%…` with its width and precision known."""

    def __init__(self, flags: str, width: int | None, precision: int | None, verb: str) -> None:
        self.left = "-" in flags or (width is not None and width < 0)
        self.plus, self.sharp, self.space = "+" in flags, "#" in flags, " " in flags
        self.zero = "0" in flags and not self.left
        self.width = abs(width) if width is not None else 0
        self.precision = precision
        self.verb = verb

    def pad(self, text: str) -> str:
        """To the width, with spaces (or zeros, as Go does even for text)."""
        if self.left:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero else " ")

    def pad_number(self, text: str) -> str:
        """To the width; zeros go between sign and digits."""
        if self.zero:
            sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-", " ") else ("", text)
            return sign + digits.rjust(self.width - len(sign), "0")
        return text.ljust(self.width) if self.left else text.rjust(self.width)


class _Printer:
    def __init__(self, arguments: Sequence[Value]) -> None:
        self._arguments = arguments
        self._used = 0
        self._reordered = False
        self._n_left = MAX_CHARS

    def run(self, layout: str) -> str:
        text = _VERB.sub(self._counted, layout)
        if not self._reordered and self._used < len(self._arguments):
            extra = (_typed(argument) for argument in self._arguments[self._used :])
            text += "%!(EXTRA " + ", ".join(extra) + ")"
        return text

    def _counted(self, found: re.Match[str]) -> str:
        text = self._replace(found)
        self._n_left -= len(text)
        if self._n_left < 0:
            raise TemplateLimitExceeded("template output is too long")
        return text

    def _replace(self, found: re.Match[str]) -> str:
        for name in ("first", "index"):
            if found[name]:
                self._reordered = True
                self._used = int(found[name]) - 1
        width, bad_width = self._number(found["width"], "%!(BADWIDTH)")
        precision, bad_precision = self._number(found["precision"], "%!(BADPREC)")
        if found["dot"] is not None and precision is None:
            precision = 0
        verb = found["verb"]
        prefix = bad_width + bad_precision
        if not verb:
            return prefix + "%!(NOVERB)"
        if verb == "%":
            return prefix + "%"
        if not 0 <= self._used < len(self._arguments):
            return prefix + (f"%!{verb}(BADINDEX)" if self._reordered else f"%!{verb}(MISSING)")
        value = self._arguments[self._used]
        self._used += 1
        return prefix + _formatted(_Spec(found["flags"], width, precision, verb), value)

    def _number(self, text: str | None, complaint: str) -> tuple[int | None, str]:
        """A width or precision, which may be an argument, and what to say if it is unusable."""
        if text is None:
            return None, ""
        if text != "*":
            return (int(text), "") if int(text) <= MAX_WIDTH else (None, complaint)
        value = self._arguments[self._used] if self._used < len(self._arguments) else None
        self._used += 1
        if type(value) is not int or abs(value) > MAX_WIDTH:
            return None, complaint
        return value, ""


def _typed(value: Value) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={text_of(value)}"


def _bad(spec: _Spec, value: Value) -> str:
    return f"%!{spec.verb}({_typed(value)})"


def _formatted(spec: _Spec, value: Value) -> str:
    if spec.verb == "T":
        return spec.pad(type_name(value))
    if value is None:
        return spec.pad("<nil>") if spec.verb == "v" else _bad(spec, value)
    if isinstance(value, Struct) or (isinstance(value, (list, dict)) and spec.verb == "v"):
        return spec.pad(_cut(spec, text_of(value))) if spec.verb in "vs" else _bad(spec, value)
    if isinstance(value, list):
        return "[" + " ".join(_formatted(spec, item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_formatted(spec, value[key])}" for key in sorted(value)) + "]"
    formatter = _FORMATTERS[type(value)]
    return formatter(spec, value)


def _cut(spec: _Spec, text: str) -> str:
    return text if spec.precision is None else text[: spec.precision]


def _bool(spec: _Spec, value: bool) -> str:
    return spec.pad("true" if value else "false") if spec.verb in "tv" else _bad(spec, value)


def _string(spec: _Spec, value: str) -> str:
    text = _cut(spec, value)
    match spec.verb:
        case "v" if spec.sharp:
            return spec.pad(quote(text))
        case "v" | "s":
            return spec.pad(text)
        case "q":
            if len(text) > MAX_QUOTED:
                raise TemplateLimitExceeded("template output is too long")
            return spec.pad(f"`{text}`" if spec.sharp and "`" not in text else quote(text))
        case "x" | "X":
            digits = text.encode().hex(" " if spec.space else "") if spec.space else text.encode().hex()
            return spec.pad(digits.upper() if spec.verb == "X" else digits)
    return _bad(spec, value)


_BASES = {"b": "b", "o": "o", "O": "o", "x": "x", "X": "X", "d": "d", "v": "d"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _int(spec: _Spec, value: int) -> str:
    if spec.verb in _BASES:
        digits = format(abs(value), _BASES[spec.verb])
        if spec.precision is not None:
            spec.zero = False
            digits = "" if spec.precision == 0 == value else digits.rjust(spec.precision, "0")
        prefix = "0o" if spec.verb == "O" else _PREFIXES.get(spec.verb, "") if spec.sharp else ""
        return spec.pad_number(_sign(spec, value < 0) + prefix + digits)
    if spec.verb in "cqU" and 0 <= value <= 0x10FFFF:
        return spec.pad(_character(spec, value))
    return _bad(spec, value)


def _character(spec: _Spec, value: int) -> str:
    match spec.verb:
        case "c":
            return chr(value)
        case "q":
            return "'" + quote(chr(value))[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return f"U+{value:04X}" + (f" '{chr(value)}'" if spec.sharp else "")


def _sign(spec: _Spec, is_negative: bool) -> str:
    return "-" if is_negative else "+" if spec.plus else " " if spec.space else ""


def _float(spec: _Spec, value: float) -> str:
    if spec.verb not in "eEfFgGv":
        return _bad(spec, value)
    sign = _sign(spec, math.copysign(1, value) < 0)
    size = abs(value)
    if not math.isfinite(size):
        text = "NaN" if math.isnan(size) else "Inf"
        plus = "+" if text == "Inf" and not sign else sign
        return spec.pad(plus + text).replace("0", " ") if spec.zero else spec.pad(plus + text)
    if spec.verb in "gGv" and spec.precision is None:
        text = text_of(size)
        text = text.upper() if spec.verb == "G" else text
    else:
        verb = "g" if spec.verb == "v" else spec.verb
        text = format(size, f".{6 if spec.precision is None else spec.precision}{verb}")
    return spec.pad_number(sign + text)


_FORMATTERS: dict[type, Callable[[_Spec, Value], str]] = {bool: _bool, str: _string, int: _int, float: _float}
