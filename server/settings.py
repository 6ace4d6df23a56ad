"""The environment, read once into `Settings`: one table of variables, which also prints the help.

Values are trimmed of spaces and quotes; an empty one is unset. A value that cannot be read is reported by name in
`Settings.problems`, and the default is used.
# Compat: registry-store-cli 8; Ollama envconfig/config.go 0.33.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from server.durations import MAX_DURATION, SECOND, InvalidDuration, parse_duration

MINUTE = 60 * SECOND
MIB = 1024**2
DEFAULT_PORT = 11434
TRACE = 5
"""Log level below DEBUG, for OLLAMA_DEBUG=2."""


class InvalidSetting(ValueError):
    """A value that its parser cannot read; the text says why. `instead` replaces the table's default."""

    def __init__(self, text: str, instead: Any = None) -> None:
        super().__init__(text)
        self.instead = instead


# --------------------------------------------------------------------------------------------------------------------
# Values


@dataclass(frozen=True, slots=True)
class Host:
    """Where the server listens and where the command line finds it. `host` is empty for all interfaces."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def address(self) -> str:
        """`127.0.0.1:11434`, `[::1]:11434`, `:11434`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What a client prefixes paths with; no slash at the end."""
        path = f"/{self.path}".rstrip("/") if self.path else ""
        return f"{self.scheme}://{self.address}{path}"


def parse_host(text: str) -> Host:
    """Read OLLAMA_HOST. Raises: InvalidSetting, with the scheme's port in the host to use instead.

    # Compat: registry-store-cli 8, the table of OLLAMA_HOST; Ollama envconfig.Host 0.33.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = ("https", "ollama.com:443") if scheme == "ollama.com" else ("http", scheme)
    default_port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    netloc, _, path = rest.partition("/")
    host, port = _split_host_port(netloc)
    if port is None:
        return Host(scheme, host, default_port, path)
    if not re.fullmatch(r"\+?[0-9]{1,9}", port) or int(port) > 65535:
        raise InvalidSetting(f"invalid port {port}", Host(scheme, host, default_port, path))
    return Host(scheme, host, int(port), path)


def _split_host_port(netloc: str) -> tuple[str, str | None]:
    """Host without brackets, and the text of the port; None where none is named."""
    bracketed = re.fullmatch(r"\[([^\]]*)\]:([^:\[\]]*)", netloc)
    if bracketed:
        return bracketed[1], bracketed[2]
    if netloc.count(":") == 1:
        host, _, port = netloc.partition(":")
        return host, port
    try:
        address = ip_address(netloc.strip("[]"))
    except ValueError:
        return netloc or "127.0.0.1", None
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else str(address), None


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path:
    return Path(text)


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(","))


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def _flag(text: str) -> bool:
    """Go's ParseBool; whatever it does not know counts as true."""
    return text not in _FALSE


def _any_text(text: str) -> bool:
    return bool(text)


def _unsigned(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text) or int(text) >= 2**64:
        raise InvalidSetting("expected a whole number")
    return int(text)


def _duration(text: str) -> int:
    """Nanoseconds; a bare whole number is seconds."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and text not in ("0", "+0", "-0"):
        return int(text) * SECOND
    try:
        return parse_duration(text)
    except InvalidDuration as error:
        raise InvalidSetting("expected a duration such as 5m or a number of seconds") from error


def _keep_alive(text: str) -> int:
    """Negative: forever."""
    ns = _duration(text)
    return MAX_DURATION if ns < 0 else min(ns, MAX_DURATION)


def _load_timeout(text: str) -> float | None:
    """Seconds; None (from zero and below): no limit."""
    ns = _duration(text)
    return None if ns <= 0 else ns / SECOND


def _log_level(text: str) -> int:
    """`true` and 1: DEBUG; 2: TRACE; a negative number leaves less than INFO would."""
    if text in _TRUE:
        return logging.DEBUG
    if not re.fullmatch(r"[+-]?[0-9]{1,3}", text):
        return logging.INFO
    level = int(text)
    if level < 0:
        return min(logging.INFO - 10 * level, logging.CRITICAL)
    return (logging.INFO, logging.DEBUG, TRACE)[min(level, 2)]


def _automatic(text: str) -> str:
    if text.lower() not in ("auto", "on", "off"):
        raise InvalidSetting("expected auto, on or off")
    return text.lower()


_SIZE_UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}


def _size(text: str) -> int:
    """Bytes: a number with K, M or G (powers of 1024) or none."""
    match = re.fullmatch(r"([0-9]{1,12})\s*([kmg]?)(?:i?b)?", text.lower())
    if not match:
        raise InvalidSetting("expected a size such as 256M")
    return int(match[1]) * _SIZE_UNITS[match[2]]


# --------------------------------------------------------------------------------------------------------------------
# The table


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment: the field of `Settings` that it fills, and how."""

    name: str
    field: str
    parse: Callable[[str], Any]
    default: Any
    help: str


VARIABLES = (
    Variable("OLLAMA_DEBUG", "log_level", _log_level, logging.INFO, "Show debug information (1, or 2 for more)"),
    Variable("OLLAMA_HOST", "host", parse_host, Host(), "Address of the server (default 127.0.0.1:11434)"),
    Variable("OLLAMA_CONTEXT_LENGTH", "n_ctx", _unsigned, 0, "Context length (default: 4k/32k/256k by VRAM)"),
    Variable("OLLAMA_KEEP_ALIVE", "keep_alive_ns", _keep_alive, 5 * MINUTE, 'How long models stay (default "5m")'),
    Variable("OLLAMA_MAX_LOADED_MODELS", "max_loaded_models", _unsigned, 0, "Models loaded at once (default: by GPUs)"),
    Variable("OLLAMA_MAX_TRANSFER_STREAMS", "max_transfer_streams", _unsigned, 4, "Parallel streams of a transfer"),
    Variable("OLLAMA_MAX_QUEUE", "max_queue", _unsigned, 512, "Requests that may wait for a model (default 512)"),
    Variable("OLLAMA_MODELS", "models_dir", _path, None, "The path to the models directory (default ~/.ollama/models)"),
    Variable("OLLAMA_NUM_PARALLEL", "n_parallel", _unsigned, 0, "Requests a model computes at once (0: by memory)"),
    Variable("OLLAMA_NO_CLOUD", "no_cloud", _flag, False, "Say that cloud models are turned off (there are none)"),
    Variable("OLLAMA_NOPRUNE", "no_prune", _flag, False, "Do not delete unused blobs at start, after pull and create"),
    Variable("OLLAMA_ORIGINS", "origins", _list, (), "A comma separated list of further allowed origins"),
    Variable("OLLAMA_REMOTES", "remotes", _list, ("ollama.com",), "Hosts that remote models may be on"),
    Variable("OLLAMA_CLOUD_BASE_URL", "cloud_base_url", _text, "", "Base URL of cloud requests"),
    Variable("OLLAMA_SCHED_SPREAD", "spread", _flag, False, "Always spread a model over all GPUs"),
    Variable("OLLAMA_FLASH_ATTENTION", "flash_attention", _flag, None, "Flash attention (default: where it helps)"),
    Variable("OLLAMA_KV_CACHE_TYPE", "kv_cache_type", _text, "", "Type of the K/V cache (default f16)"),
    Variable("OLLAMA_LLM_LIBRARY", "llm_library", _text, "", "Compute library to use, instead of the automatic choice"),
    Variable("OLLAMA_VULKAN", "vulkan", _flag, None, "Use Vulkan devices"),
    Variable("OLLAMA_IGPU_ENABLE", "integrated_gpu", _flag, None, "Use integrated GPUs"),
    Variable("OLLAMA_GPU_OVERHEAD", "gpu_overhead_bytes", _unsigned, 0, "Bytes of VRAM to leave free on each GPU"),
    Variable("OLLAMA_LOAD_TIMEOUT", "load_timeout_s", _load_timeout, 300.0, 'How long loads may stall (default "5m")'),
    Variable("OLLAMA_GO_TEMPLATE", "go_template", _flag, None, "Whether Go templates win over the model's own"),
    Variable("OLLAMA_DEBUG_LOG_REQUESTS", "log_requests", _flag, False, "Write requests to a temporary folder"),
    Variable("OLLAMA_AUTH", "auth", _flag, False, "Sign the requests of the command line"),
    Variable("OLLAMA_EDITOR", "editor", _text, "", "Editor of the interactive prompt (Ctrl+G)"),
    Variable("OLLAMA_NOHISTORY", "no_history", _flag, False, "Do not keep the history of the interactive prompt"),
    Variable("OLLAMA_EXPERIMENT", "experiments", _list, (), "Experimental features"),
    Variable("OLLAMA_AGENT_DISABLE_SHELL", "no_agent_shell", _any_text, False, "No shell for agents"),
    Variable("OLLAMA_AGENT_DISABLE_WEBSEARCH", "no_agent_search", _any_text, False, "No web search for agents"),
    Variable("PUNA_BUILTIN", "builtin", _flag, True, "Whether pico is the built-in model (default true)"),
    Variable("PUNA_STRICT", "strict", _flag, False, "Refuse requests with fields that would have no effect"),
    Variable("PUNA_PROMPT_CACHE", "prompt_cache_bytes", _size, 1024 * MIB, "Memory for a model's saved prompts (1G)"),
    Variable("PUNA_MLOCK", "use_mlock", _flag, False, "Keep the weights of models from being swapped out"),
    Variable("PUNA_BACKEND_SAMPLING", "backend_sampling", _automatic, "auto", "Pick tokens on the GPU (auto, on, off)"),
    Variable("PUNA_MAX_BODY", "max_body_bytes", _size, 256 * MIB, "Largest request body except blobs (default 256M)"),
)  # fmt: skip
BY_NAME = {variable.name: variable for variable in VARIABLES}

WITHOUT_EFFECT = frozenset(
    (
        *("OLLAMA_MAX_TRANSFER_STREAMS", "OLLAMA_REMOTES", "OLLAMA_CLOUD_BASE_URL", "OLLAMA_SCHED_SPREAD"),
        *("OLLAMA_LLM_LIBRARY", "OLLAMA_VULKAN", "OLLAMA_IGPU_ENABLE", "OLLAMA_DEBUG_LOG_REQUESTS", "OLLAMA_AUTH"),
        *("OLLAMA_EXPERIMENT", "OLLAMA_AGENT_DISABLE_SHELL", "OLLAMA_AGENT_DISABLE_WEBSEARCH"),
    )
)
"""Known to Ollama, and read, but nothing here depends on them so far: who sets one is told so."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, read; durations in nanoseconds unless the name says otherwise.

    0 and None mean "automatic" where the help says so. `home` holds `.ollama`. `problems` are for the log.
    """

    log_level: int
    host: Host
    n_ctx: int
    keep_alive_ns: int
    max_loaded_models: int
    max_transfer_streams: int
    max_queue: int
    models_dir: Path
    n_parallel: int
    no_cloud: bool
    no_prune: bool
    origins: tuple[str, ...]
    remotes: tuple[str, ...]
    cloud_base_url: str
    spread: bool
    flash_attention: bool | None
    kv_cache_type: str
    llm_library: str
    vulkan: bool | None
    integrated_gpu: bool | None
    gpu_overhead_bytes: int
    load_timeout_s: float | None
    go_template: bool | None
    log_requests: bool
    auth: bool
    editor: str
    no_history: bool
    experiments: tuple[str, ...]
    no_agent_shell: bool
    no_agent_search: bool
    builtin: bool
    strict: bool
    prompt_cache_bytes: int
    use_mlock: bool
    backend_sampling: str
    max_body_bytes: int
    home: Path
    problems: tuple[str, ...]

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read all variables; never fails."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for variable in VARIABLES:
            text = clean(environ.get(variable.name, ""))
            if text and variable.name in WITHOUT_EFFECT:
                problems.append(f"{variable.name} is set, but has no effect on this server")
            values[variable.field] = _read(variable, text, problems) if text else variable.default
        home = Path(environ.get("HOME") or os.path.expanduser("~"))
        values["models_dir"] = values["models_dir"] or home / ".ollama" / "models"
        return cls(**values, home=home, problems=tuple(problems))


def _read(variable: Variable, text: str, problems: list[str]) -> Any:
    try:
        return variable.parse(text)
    except InvalidSetting as error:
        value = variable.default if error.instead is None else error.instead
        problems.append(f"{variable.name}={text}: {error}, using {_shown(value) or 'the default'}")
        return value


def clean(text: str) -> str:
    """Without spaces around it, then without quotes around it. # Compat: Ollama envconfig.Var 0.33."""
    return text.strip().strip("\"'")


def from_environment() -> Settings:
    """The settings of this process."""
    return Settings.from_env(os.environ)


def text_editor(environ: Mapping[str, str] = os.environ) -> str:
    """The command that edits a long prompt. # Compat: registry-store-cli 7.10."""
    named = (clean(environ.get(name, "")) for name in ("OLLAMA_EDITOR", "VISUAL", "EDITOR"))
    return next(filter(None, named), "vi")


def help_text(names: tuple[str, ...] = tuple(BY_NAME)) -> str:
    """One line for each variable, in the columns of Ollama's help screens."""
    return "".join(f"      {name:<27}   {BY_NAME[name].help}\n" for name in names)


def as_map(settings: Settings) -> dict[str, str]:
    """Every variable with the value in force, for the log."""
    return {variable.name: _shown(getattr(settings, variable.field)) for variable in VARIABLES}


def _shown(value: object) -> str:
    match value:
        case Host():
            return value.url
        case tuple():
            return "[" + " ".join(value) + "]"
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)


assert {v.field for v in VARIABLES} | {"home", "problems"} == {f.name for f in fields(Settings)}
