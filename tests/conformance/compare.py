"""Compare a recorded answer with a new one: masks for what may differ, readable differences for what may not.

Default: status, kept headers, and the payload as JSON values (objects without order, numbers with their kind: 1 is not
1.0). `strict` adds the order of keys, the framing (chunked or Content-Length) and the exact encoding of every JSON
text: no spaces, Go's escapes. `merge` joins neighbouring stream events that differ only in their text, so that another
split of the same text into chunks is equal.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any


class Real(float):
    """A JSON number written with a fraction or exponent; keeps its spelling."""

    text: str

    def __new__(cls, text: str) -> Real:
        number = super().__new__(cls, text)
        number.text = text
        return number


@dataclass(frozen=True)
class Difference:
    where: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return f"{self.where}: expected {_short(self.expected)}, got {_short(self.actual)}"


@dataclass(frozen=True)
class Rules:
    """What one exchange lets vary. `mask`: path pattern → rule; `unordered`: paths of lists that are sets."""

    mask: dict[str, str]
    unordered: tuple[str, ...] = ()
    progress: bool = False
    strict: bool = False
    merge: bool = False


MISSING = object()

# --------------------------------------------------------------------------------------------------------------------
# Payloads


@dataclass(frozen=True)
class Payload:
    """A parsed body. kind: json, lines (NDJSON), events (SSE), text; `texts` are the JSON texts as they came."""

    kind: str
    value: Any
    texts: tuple[str, ...] = ()


def parse_json(text: str) -> Any:
    return json.loads(text, parse_float=Real, parse_int=lambda t: Real(t) if t == "-0" else int(t))


def parse_payload(text: str, content_type: str) -> Payload:
    try:
        if "text/event-stream" in content_type or text.startswith(("event: ", "data: ")):
            return _parse_events(text)
        if "ndjson" in content_type or (text.rstrip("\n").count("\n") > 0 and text.startswith("{")):
            lines = tuple(text.splitlines()) if "\n" in text else (text,)
            return Payload("lines", [parse_json(x) for x in lines if x], lines)
        if "json" in content_type and text:
            return Payload("json", parse_json(text), (text,))
    except ValueError:
        pass
    return Payload("text", text)


def _parse_events(text: str) -> Payload:
    events, texts = [], []
    for block in text.split("\n\n"):
        if not block.strip():
            continue
        event: dict[str, Any] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            event[name] = value
        if event.get("data", "").startswith("{"):
            texts.append(event["data"])
            event["data"] = parse_json(event["data"])
        events.append(event)
    return Payload("events", events, tuple(texts))


# --------------------------------------------------------------------------------------------------------------------
# Masks: a masked value becomes a token that names its form, so that a wrong form still differs

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
HEX64 = re.compile(r"[0-9a-f]{64}")


def _time_utc(value: Any) -> Any:
    return "<utc time>" if isinstance(value, str) and TIME.fullmatch(value) and value.endswith("Z") else value


def _time(value: Any) -> Any:
    return "<time>" if isinstance(value, str) and TIME.fullmatch(value) else value


def _count(value: Any) -> Any:
    return "<positive int>" if type(value) is int and value > 0 else value


def _int(value: Any) -> Any:
    return "<int>" if type(value) is int else value


def _hex64(value: Any) -> Any:
    return "<64 hex digits>" if isinstance(value, str) and HEX64.fullmatch(value) else value


def _text(value: Any) -> Any:
    return "<text>" if isinstance(value, str) and value else value


def _sorted_lines(value: Any) -> Any:
    return "\n".join(sorted(value.split("\n"))) if isinstance(value, str) else value


def _modelfile(value: Any) -> Any:
    """Sorted lines; digests that are not placeholders (weights this run has made) are masked."""
    return (
        _sorted_lines(re.sub(r"sha256-[0-9a-f]{64}", "sha256-<64 hex digits>", value))
        if isinstance(value, str)
        else value
    )


def _is_json(value: Any) -> Any:
    try:
        json.loads(value)
    except (TypeError, ValueError):
        return value
    return "<a JSON text>"


def _base64_floats(value: Any) -> Any:
    try:
        raw = base64.b64decode(value, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (TypeError, ValueError, struct.error):
        return value


def _layer(value: Any) -> Any:
    return (
        re.sub(r"^(using existing|creating new) layer sha256:[0-9a-f]{64}$", "<a layer>", value)
        if isinstance(value, str)
        else value
    )


RULES: dict[str, Callable[[Any], Any]] = {
    "any": lambda _: "<any>",
    "utc": _time_utc,
    "time": _time,
    "count": _count,
    "int": _int,
    "hex64": _hex64,
    "text": _text,
    "sorted-lines": _sorted_lines,
    "modelfile": _modelfile,
    "is-json": _is_json,
    "base64-floats": _base64_floats,
    "layer": _layer,
}

# Keys that vary from run to run wherever they stand. Identifiers are handled by ID_KEYS.
KEY_RULES = {
    "created_at": lambda v: _time_utc(v) if isinstance(v, str) else _count(v),
    "completed_at": _count,
    "created": _count,
    "modified_at": _time,
    "expires_at": _time,
    "total_duration": _count,
    "load_duration": _count,
    "prompt_eval_duration": _count,
    "eval_duration": _count,
    "digest": _hex64,  # manifest digests; layer digests start with "sha256:" and stay
}
ID_KEYS = {"id", "call_id", "item_id", "tool_call_id", "request_id", "tool_use_id"}
FLOAT_KEYS = {"embedding", "embeddings", "logprob"}
FLOAT_TOLERANCE = 2e-3
# Arguments of tool calls come from a hash map: their order is random, also inside JSON texts.
ARGUMENT_KEYS = {"arguments", "partial_json", "delta"}
TEXT_KEYS = {"response", "thinking", "content", "reasoning", "text", "delta", "partial_json"}


class _Masker:
    """Applies the masks to one answer; numbers identifiers in order of appearance, so that reuse is still checked."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._ids: dict[str, str] = {}

    def __call__(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        for pattern, rule in self._rules.mask.items():
            if _matches(path, pattern):
                value = _apply(rule, value)
        key = next((p for p in reversed(path) if not p.isdigit()), "")
        if isinstance(value, dict):
            return {k: self(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            items = [self(v, (*path, str(i))) for i, v in enumerate(value)]
            if any(_matches(path, p) for p in self._rules.unordered):
                items.sort(key=lambda v: json.dumps(v, sort_keys=True))
            return items
        if key in ID_KEYS and isinstance(value, str):
            return self._identifier(value)
        return KEY_RULES[key](value) if key in KEY_RULES else value

    def _identifier(self, value: str) -> str:
        form = re.sub(r"[A-Za-z0-9]+", _segment, value)
        if form == value:
            return value
        return self._ids.setdefault(value, f"{form}#{len(self._ids)}")


def _segment(m: re.Match[str]) -> str:
    run = m[0]
    if run.isdigit():
        return "<n>"
    return f"<{len(run)}>" if len(run) >= 8 and run not in ("chatcmpl", "function") else run


def _apply(rule: str, value: Any) -> Any:
    if rule.startswith("prefix:"):
        return f"{rule[7:]}<…>" if isinstance(value, str) and value.startswith(rule[7:]) else value
    return RULES[rule](value)


def _matches(path: tuple[str, ...], pattern: str) -> bool:
    steps = pattern.split(".") if pattern else []
    return len(steps) == len(path) and all(s in ("*", p) for s, p in zip(steps, path, strict=True))


# --------------------------------------------------------------------------------------------------------------------
# Streams


def collapse_progress(lines: list[Any]) -> list[Any]:
    """Drop repeated and optional progress events: a transfer may report any number of them, or none."""
    kept: list[Any] = []
    for line in lines:
        if (
            isinstance(line, dict)
            and "total" in line
            and {"status", "digest"} <= set(line) <= {"status", "digest", "total", "completed"}
        ):
            continue
        if not kept or kept[-1] != line:
            kept.append(line)
    return kept


def merge_chunks(events: list[Any]) -> list[Any]:
    """Join neighbours that are equal except for their text."""
    merged: list[Any] = []
    for event in events:
        both = _joined(merged[-1], event) if merged else MISSING
        if both is MISSING:
            merged.append(event)
        else:
            merged[-1] = both
    return merged


def _joined(a: Any, b: Any, key: str = "") -> Any:
    """`a` with the text of `b` appended, or MISSING when something else differs."""
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        parts = {k: _joined(a[k], b[k], k) for k in a}
        return MISSING if any(v is MISSING for v in parts.values()) else parts
    if isinstance(a, list) and isinstance(b, list):
        if key == "logprobs" or (a and b and key == "content"):
            return a + b
        if len(a) == len(b):
            items = [_joined(x, y, key) for x, y in zip(a, b, strict=True)]
            return MISSING if any(v is MISSING for v in items) else items
    if isinstance(a, str) and isinstance(b, str) and key in TEXT_KEYS:
        return a + b
    if key == "sequence_number":
        return 0
    return a if a == b and type(a) is type(b) else MISSING


# --------------------------------------------------------------------------------------------------------------------
# Comparison


def compare(recorded: dict[str, Any], actual: dict[str, Any], rules: Rules) -> list[Difference]:
    """Differences between two answers in the form golden files store them (README.md)."""
    found = list(_diff(recorded["status"], actual["status"], "status"))
    found += _diff(recorded["headers"], actual["headers"], "headers")
    if rules.strict:
        found += _diff(recorded["framing"], actual["framing"], "framing")
    old, new = _payload(recorded), _payload(actual)
    if old.kind != new.kind:
        return [*found, Difference("body", recorded["body"], actual["body"])]
    found += _diff(_prepare(old, rules), _prepare(new, rules), _name(old.kind), strict=rules.strict)
    if rules.strict:
        found += _encoding(new)
    return found


def body_text(answer: dict[str, Any]) -> str:
    return answer["body"] if isinstance(answer["body"], str) else "".join(answer["body"])


def _payload(answer: dict[str, Any]) -> Payload:
    return parse_payload(body_text(answer), ", ".join(answer["headers"].get("content-type", [])))


def _name(kind: str) -> str:
    return {"lines": "line", "events": "event"}.get(kind, "body")


def _prepare(payload: Payload, rules: Rules) -> Any:
    mask = _Masker(rules)
    if payload.kind not in ("lines", "events"):
        return mask(payload.value)
    items = [mask(item) for item in payload.value]
    items = collapse_progress(items) if rules.progress else items
    return merge_chunks(items) if rules.merge else items


def _diff(a: Any, b: Any, where: str, strict: bool = False) -> Iterable[Difference]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            yield from _diff(a.get(key, MISSING), b.get(key, MISSING), f"{where}.{key}", strict)
        if strict and list(a) != list(b) and set(a) == set(b) and ".arguments" not in where:
            yield Difference(f"{where} key order", list(a), list(b))
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield Difference(f"{where} count", len(a), len(b))
        for i, (x, y) in enumerate(zip_longest(a, b, fillvalue=MISSING)):
            yield from _diff(x, y, f"{where}[{i}]", strict)
    elif not _equal(a, b, where):
        yield Difference(where, a, b)


def _equal(a: Any, b: Any, where: str) -> bool:
    key = next((p for p in reversed(re.split(r"[.\[\]]+", where)) if p and not p.isdigit()), "")
    if key in ARGUMENT_KEYS and isinstance(a, str) and isinstance(b, str) and a.startswith("{"):
        return a == b or _same_json(a, b)
    if key in FLOAT_KEYS and all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)):
        return bool(abs(a - b) <= FLOAT_TOLERANCE * max(1.0, abs(a)))
    return type(a) is type(b) and bool(a == b)


def _same_json(a: str, b: str) -> bool:
    try:
        return bool(parse_json(a) == parse_json(b))
    except ValueError:
        return False


def _encoding(payload: Payload) -> Iterable[Difference]:
    for text in payload.texts:
        wanted = go_json(parse_json(text))
        if text.strip("\n").replace("\\ufffd", "\ufffd") != wanted:
            yield Difference("JSON encoding", wanted, text)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile('["\\\\\x00-\x1f<>&\u2028\u2029]')


def go_json(value: Any) -> str:
    """Encode like Go's encoding/json: compact, keys in order, HTML characters escaped, number spelling kept."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{go_json(k)}:{go_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(go_json, value)) + "]"
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(lambda m: _ESCAPES.get(m[0], f"\\u{ord(m[0]):04x}"), value) + '"'
    return value.text if isinstance(value, Real) else json.dumps(value)


def _short(value: Any, limit: int = 160) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[:limit] + " …"
