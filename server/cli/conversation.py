"""What `run` was told and what a chat has come to: the state that both its forms share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from registry.gojson import Raw, quote
from server.cli.errors import UsageError
from server.cli.flags import Arguments
from server.cli.transport import Json
from server.durations import InvalidDuration, format_duration, parse_duration

Think = bool | str

_THINK: dict[str, Think] = {"": True, "true": True, "false": False}
_THINK_LEVELS = ("high", "medium", "low", "max")


@dataclass(slots=True)
class Conversation:
    """One model, how to ask it and how to show what it says. `messages` are those of the API.

    `think` None leaves it to the model. `format` is "json", the JSON text of a schema, or empty.
    """

    model: str
    think: Think | None = None
    think_is_chosen: bool = False
    keep_alive: str | int | None = None
    format: str = ""
    wraps: bool = True
    hides_thinking: bool = False
    verbose: bool = False
    takes_files: bool = False
    """Whether the model can look at images or listen."""
    parent_model: str = ""
    system: str = ""
    options: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=list)

    @classmethod
    def from_arguments(cls, args: Arguments) -> Conversation:
        """Raises: UsageError for a flag with an impossible value."""
        return cls(
            model=args.positionals[0],
            think=parse_think(args.text("think")) if args.is_given("think") else None,
            think_is_chosen=args.is_given("think"),
            keep_alive=parse_keep_alive(args.text("keepalive")),
            format=args.text("format"),
            wraps=not args.flag("nowordwrap"),
            hides_thinking=args.flag("hidethinking"),
            verbose=args.flag("verbose"),
        )

    def adopt(self, info: Json) -> None:
        """Take over what `/api/show` says of the model."""
        capabilities = info.get("capabilities") or ()
        self.parent_model = str((info.get("details") or {}).get("parent_model") or "")
        self.takes_files = (
            "vision" in capabilities
            or "audio" in capabilities
            or bool(info.get("projector_info"))
            or any(".vision." in key for key in info.get("model_info") or ())
        )
        if not self.think_is_chosen:
            # Compat: registry-store-cli 7.9: a model that can think does, unless it was told not to.
            self.think = True if "thinking" in capabilities else None

    @property
    def wanted_format(self) -> Any:
        """The request's `format`. Raises: UsageError when a schema is not JSON."""
        if not self.format:
            return None
        if self.format == "json":
            return "json"
        try:
            orjson.loads(self.format)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"invalid format {quote(self.format)}: expected json or a JSON schema: {error}") from error
        return Raw(self.format)


def parse_think(text: str) -> Think:
    """Raises: UsageError."""
    if text in _THINK:
        return _THINK[text]
    if text in _THINK_LEVELS:
        return text
    raise UsageError(f"invalid value for --think: {quote(text)} (must be true, false, high, medium, low, or max)")


def parse_keep_alive(text: str) -> str | int | None:
    """The request's `keep_alive`: `5m` → "5m0s", anything negative → -1, nothing → None. Raises: UsageError."""
    if not text:
        return None
    try:
        ns = parse_duration(text)
    except InvalidDuration as error:
        raise UsageError(str(error)) from error
    return -1 if ns < 0 else format_duration(ns)
