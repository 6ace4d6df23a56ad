"""Run prompt vectors through the real code: prompts, parsers, templates.

    python -m tests.conformance.run_vectors [--show] [--only PREFIX] FILE…

Prints passed and total of each suite, with --show a diff of each failure. Exit status: 0 all passed, 1 otherwise.
Suites that belong to other parts of the program, or that nothing handles, are listed as not run.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.errors import ModelError
from tests.conformance.prompt_vectors import Handler, Json, handler_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print a diff of each failure")
    parser.add_argument("--only", default="", metavar="PREFIX", help="suites whose names begin so")
    options = parser.parse_args(arguments)
    vectors = [vector for file in options.files for vector in json.loads(file.read_text(encoding="utf-8"))]
    return _report([v for v in vectors if v["suite"].startswith(options.only)], show=options.show)


def _report(vectors: list[Json], *, show: bool) -> int:
    passed, failed, not_run = Counter[str](), Counter[str](), Counter[str]()
    for vector in vectors:
        handler = handler_of(vector)
        if handler is None:
            not_run[vector["suite"]] += 1
            continue
        actual = _run(handler, vector)
        if _equal(vector, actual):
            passed[vector["suite"]] += 1
        else:
            failed[vector["suite"]] += 1
            if show:
                _show(vector, actual)
    for suite in sorted(passed | failed):
        print(f"{suite:32} {passed[suite]:4} of {passed[suite] + failed[suite]}")
    for suite, count in sorted(not_run.items()):
        print(f"{suite:32} {count:4} not run")
    print(f"{passed.total()} passed, {failed.total()} failed, {not_run.total()} not run")
    return 1 if failed else 0


def differences(vector: Json) -> list[str]:
    """How what comes out differs from what should, as a diff; empty if it does not. Raises: LookupError."""
    handler = handler_of(vector)
    if handler is None:
        raise LookupError(f"nothing handles {vector['suite']}")
    actual = _run(handler, vector)
    return [] if _equal(vector, actual) else _diff(vector, actual) or ["the order of the arguments"]


def _run(handler: Handler, vector: Json) -> Any:
    try:
        return handler(vector["input"], vector)
    except ModelError as error:
        return {"error": str(error)}
    except Exception as error:  # a failure like any other: the rest is run all the same
        return {"crash": f"{type(error).__name__}: {error}"}


def _show(vector: Json, actual: Any) -> None:
    print(f"\n--- {vector['suite']}: {vector['name']}")
    print("input", json.dumps(vector["input"], ensure_ascii=False)[:2000])
    for line in _diff(vector, actual):
        print(line[:1500])


def _diff(vector: Json, actual: Any) -> list[str]:
    before, after = (
        json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).splitlines()
        for value in (_expected(vector), actual)
    )
    return list(difflib.unified_diff(before, after, "expected", "actual", lineterm="", n=2))


# ---- comparison ----------------------------------------------------------------------------------------------------


def _equal(vector: Json, actual: Any) -> bool:
    expected = _expected(vector)
    if isinstance(expected, dict) and "error" in expected:
        return isinstance(actual, dict) and bool(actual.get("error")) and _same_error(vector, expected, actual)
    significant = "key order is not significant" not in vector.get("note", "") and "arguments" not in expected
    return _same(expected, actual, ordered=False, orders_arguments=significant)


def _same_error(vector: Json, expected: Json, actual: Json) -> bool:
    """Texts of Go's own libraries need not match (prompting.md 10), those of renderers must."""
    if vector["suite"] in ("template-language", "template-render", "native-tool-calls"):
        return True
    if vector["kind"] != "parser":
        return bool(expected["error"] == actual["error"])
    steps = [step | {"error": True} if "error" in step else step for step in expected["steps"]]
    return _same(expected | {"steps": steps, "error": True}, actual, ordered=False, orders_arguments=True)


def _expected(vector: Json) -> Any:
    return vector["expected"]


def _same(expected: Any, actual: Any, *, ordered: bool, orders_arguments: bool) -> bool:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if (list(expected) != list(actual)) if ordered else (set(expected) != set(actual)):
            return False
        return all(
            _same(
                value,
                actual[key],
                ordered=orders_arguments and key == "arguments",
                orders_arguments=orders_arguments,
            )
            for key, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(
            _same(a, b, ordered=False, orders_arguments=orders_arguments) for a, b in zip(expected, actual, strict=True)
        )
    if isinstance(expected, bool) or not isinstance(expected, (int, float)):
        return type(expected) is type(actual) and bool(expected == actual)
    return isinstance(actual, (int, float)) and not isinstance(actual, bool) and expected == actual


if __name__ == "__main__":
    sys.exit(main())
