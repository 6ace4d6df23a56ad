"""Calls that are Python: Llama's built-in tools behind `<|python_tag|>`, and code for a tool that runs it."""

from __future__ import annotations

from models.parsers.call_blocks import BlockReader, FoundCall, Incomplete, Malformed
from models.parsers.lfm2 import parse_calls
from models.parsers.steps import Expectations
from models.parsers.syntax import PYTHON_TAG

CODE_TOOLS = ("python", "ipython", "code_interpreter")
"""Tools that are given bare code."""


class _Never:
    """Code has no end but that of the reply."""

    def sees(self, piece: str) -> bool:
        return False


class PythonTagReader:
    """`tool.call(key="value")`, code, or JSON as `inner` reads it."""

    starts: tuple[str, ...] = (PYTHON_TAG,)
    repeats = False

    def __init__(self, inner: BlockReader, expectations: Expectations) -> None:
        self._inner = inner
        self._expectations = expectations

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """Raises: Incomplete, Malformed."""
        body = text.removeprefix(PYTHON_TAG).strip()
        if body[:1] in ("{", "["):
            return self._inner.read(text, is_last=is_last)
        if not body:
            raise Incomplete
        if not is_last:
            raise Incomplete(watch=_Never())
        return self._calls(body), len(text)

    def _calls(self, body: str) -> list[FoundCall]:
        try:
            found = [FoundCall(name.removesuffix(".call"), arguments) for name, arguments in parse_calls(body)]
        except ValueError:
            found = []
        if found and all(self._expectations.tool(call.name) is not None for call in found):
            return found
        for name in CODE_TOOLS:
            if call := code_call(name, body, self._expectations):
                return [call]
        raise Malformed


def code_call(name: str, code: str, expectations: Expectations) -> FoundCall | None:
    """The code as a call of this tool; None if it is not one that is declared and takes code."""
    function = expectations.tool(name) if name in CODE_TOOLS else None
    if function is None:
        return None
    keys = ((function.get("parameters") or {}).get("properties") or {}).keys()
    key = next(iter(keys), "code") if "code" not in keys else "code"
    return FoundCall(name, {key: code})
