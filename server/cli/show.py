"""`puna show MODEL`: what a model is, as tables, or one part of it as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from models.gguf.names import human_number
from registry.gojson import format_value
from server.cli.client import Client
from server.cli.errors import CliError, UsageError
from server.cli.flags import Arguments
from server.cli.formats import display_width
from server.cli.tables import Row, render_table
from server.cli.terminal import Output
from server.cli.transport import Json

PARTS = ("license", "modelfile", "parameters", "system", "template")
_ENDS = {"system": "", "template": ""}
"""What follows a part's text; a newline where nothing is said."""

_WIDE = 100
_NARROW = 30
_LIST_COLUMNS = 10
_N_TEXT_LINES = 2


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the tables, or the one part that a flag names. Raises: CliError."""
    wanted = [part for part in PARTS if args.flag(part)]
    if len(wanted) > 1:
        raise UsageError(
            "only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified"
        )
    verbose = args.flag("verbose")
    info = client.show(name=args.positionals[0], verbose=verbose)
    if "image" in (info.get("capabilities") or ()):
        raise CliError("image generation models are not currently supported")
    if wanted:
        out.write(str(info.get(wanted[0]) or "") + _ENDS.get(wanted[0], "\n"))
    else:
        out.write(format_info(info, verbose=verbose))
    return 0


def format_info(info: Json, *, verbose: bool = False) -> str:
    """All sections that have something to show. # Compat: registry-store-cli 7.7 (cmd/cmd.go showInfo)."""
    text = _section("Model", _model_rows(info), always=True)
    text += _section("Capabilities", [[name] for name in info.get("capabilities") or ()])
    text += _section("Projector", _projector_rows(info.get("projector_info") or {}))
    text += _section("Parameters", [line.split() for line in _lines(info.get("parameters"))])
    if verbose:
        text += _section("Metadata", _metadata_rows(info.get("model_info") or {}))
        text += _section("Tensors", [_tensor_row(tensor) for tensor in info.get("tensors") or ()])
    text += _section("System", _first_lines(info.get("system")), wrap_at=_WIDE)
    return text + _section("License", _first_lines(info.get("license")), wrap_at=_WIDE)


def _section(title: str, rows: Iterable[Row], *, wrap_at: int = _NARROW, always: bool = False) -> str:
    cells = [["", *row] for row in rows]
    if not cells and not always:
        return ""
    return f"  {title}\n{render_table(cells, wrap_at=wrap_at)}\n"


def _model_rows(info: Json) -> list[Row]:
    details: Json = info.get("details") or {}
    rows: list[Row] = []
    if info.get("remote_host"):
        rows += [["Remote model", info.get("remote_model") or ""], ["Remote URL", info["remote_host"]]]
    facts = info.get("model_info")
    if facts is None:
        rows += [["architecture", details.get("family") or ""], ["parameters", details.get("parameter_size") or ""]]
    else:
        rows += _fact_rows(facts, details.get("parameter_size") or "")
    rows.append(["quantization", details.get("quantization_level") or ""])
    if info.get("requires"):
        rows.append(["requires", info["requires"]])
    return rows


def _fact_rows(facts: Json, parameter_size: str) -> list[Row]:
    architecture = facts.get("general.architecture")
    count = facts.get("general.parameter_count")
    rows: list[Row] = []
    if isinstance(architecture, str) and architecture:
        rows.append(["architecture", architecture])
    if not parameter_size and _is_number(count):
        parameter_size = human_number(int(count))
    if parameter_size:
        rows.append(["parameters", parameter_size])
    for title, key in (("context length", "context_length"), ("embedding length", "embedding_length")):
        value = facts.get(f"{architecture or ''}.{key}")
        if _is_number(value):
            rows.append([title, _plain(value)])
    return rows


def _projector_rows(facts: Json) -> list[Row]:
    if not facts:
        return []
    architecture = facts.get("general.architecture")
    count = facts.get("general.parameter_count")
    rows: list[Row] = []
    if isinstance(architecture, str) and architecture:
        rows.append(["architecture", architecture])
    if _is_number(count):
        rows.append(["parameters", human_number(int(count))])
    for title, key in (("embedding length", "embedding_length"), ("dimensions", "projection_dim")):
        values = [facts.get(f"{architecture or ''}.{kind}.{key}") for kind in ("vision", "audio")]
        rows += [[title, _plain(value)] for value in values if _is_number(value)][:1]
    return rows


def _metadata_rows(facts: Json) -> list[Row]:
    return [[key, _metadata_text(facts[key])] for key in sorted(facts)]


def _metadata_text(value: Any) -> str:
    """Every number is a float64 to Go's JSON decoder, and printed as one."""
    match value:
        case bool() | str() | int() | float():
            return _go_text(value)
        case list():
            return _list_text(value)
        case dict():
            return "map[string]interface {}"
        case _:
            return "<nil>"


def _list_text(values: list[Any]) -> str:
    """As many items as fit ten columns, one at least, and how many more there are."""
    width, n_shown = 1, 0
    for i, value in enumerate(values):
        width += display_width(_go_text(value)) + (2 if i else 0)
        if width > _LIST_COLUMNS and i:
            break
        n_shown += 1
    shown = " ".join(map(_go_text, values[:n_shown]))
    return f"[{shown}]" if n_shown == len(values) else f"[{shown} ...+{len(values) - n_shown} more]"


def _go_text(value: Any) -> str:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return format_value(float(value) if is_int else value)


def _tensor_row(tensor: Json) -> Row:
    shape = " ".join(str(size) for size in tensor.get("shape") or ())
    return [tensor["name"], tensor["type"], f"[{shape}]"]


def _first_lines(text: str | None) -> list[Row]:
    lines = [line.strip() for line in _lines(text)]
    more: list[Row] = [["..."]] if len(lines) > _N_TEXT_LINES else []
    return [[line] for line in lines[:_N_TEXT_LINES]] + more


def _lines(text: str | None) -> list[str]:
    """The lines that are not blank."""
    return [line for line in (text or "").split("\n") if line.strip()]


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: float) -> str:
    """A number in full, never with an exponent."""
    return str(int(value)) if float(value).is_integer() else f"{value:.17f}".rstrip("0")
