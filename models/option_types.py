"""The types that options have on the wire, checked as Ollama checks them; of further ones, the forms of llama-server.

Each function takes the name of the option and its value as JSON has it, and raises OptionTypeError.
"""

from __future__ import annotations

import logging
import math
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

from models.errors import OptionTypeError

logger = logging.getLogger(__name__)

LEAST_INT64, MOST_INT64 = -(2**63), 2**63 - 1

LogitBias = tuple[tuple[int | str, float], ...]
SamplerNames = tuple[str, ...]
LoraScales = tuple[tuple[int, float], ...]

SAMPLERS: Final = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
"""What `samplers` may name, in the usual order."""
ADAPTIVE_P: Final = "adaptive_p"
"""What it may name besides: it chooses in the end, wherever it stands."""
_LETTERS: Final = dict(zip("edskypmxta", (*SAMPLERS, ADAPTIVE_P), strict=True))
_ALIASES: Final = {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p", "typical_p": "typ_p"}

_WRITTEN_SCALE = re.compile(r"(\d{1,10})=([+-]?\d{1,10}(?:\.\d{1,10})?)")
_WRITTEN_BIAS = re.compile(r"(\d{1,10})([+-]\d{1,10}(?:\.\d{1,10})?)")
_TOKEN_ID = re.compile(r"-?\d{1,10}")


def integer(name: str, value: Any) -> int:
    # Compat: http-api 5: any JSON number, truncated toward zero. What 64 bits cannot hold becomes the nearest they can.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise OptionTypeError(name, "type integer")
    return max(LEAST_INT64, min(int(value), MOST_INT64))


def float32(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionTypeError(name, "type float32")
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except (OverflowError, struct.error):
        return float("inf") if value > 0 else float("-inf")


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionTypeError(name, "type boolean")
    return value


def strings(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise OptionTypeError(name, "type array")
    if not all(isinstance(item, str) for item in value):
        raise OptionTypeError(name, "an array of strings")
    return tuple(value)


def logit_bias(name: str, value: Any) -> LogitBias:
    """Pairs of a token (its number, or a text) and what is added to its logit, `false` for a ban.

    An object has them as its members. In a list a text like `15043-1.5` is a pair too: so a Modelfile says it.
    """
    if isinstance(value, Mapping):
        return tuple((_token(key), _bias(name, bias)) for key, bias in value.items())
    if not isinstance(value, list | tuple):
        raise OptionTypeError(name, "type array")
    return tuple(_pair(name, item) for item in value)


def _pair(name: str, item: Any) -> tuple[int | str, float]:
    if isinstance(item, str) and (written := _WRITTEN_BIAS.fullmatch(item)):
        return int(written[1]), float(written[2])
    if isinstance(item, list | tuple) and len(item) == 2:
        token, bias = item
        if isinstance(token, str):
            return token, _bias(name, bias)
        if isinstance(token, int) and not isinstance(token, bool):
            return integer(name, token), _bias(name, bias)
    raise OptionTypeError(name, "an array of pairs of token and bias")


def _token(key: str) -> int | str:
    return int(key) if _TOKEN_ID.fullmatch(key) else key


def _bias(name: str, value: Any) -> float:
    return -math.inf if value is False else float32(name, value)


def lora_scales(name: str, value: Any) -> LoraScales:
    """Objects of an adapter's `id`, its place among those of the model, and the `scale` it counts with.

    A text like `0=0.5` is one too: so a Modelfile says it.
    """
    if not isinstance(value, list | tuple):
        raise OptionTypeError(name, "type array")
    return tuple(_scale(name, item) for item in value)


def _scale(name: str, item: Any) -> tuple[int, float]:
    if isinstance(item, str) and (written := _WRITTEN_SCALE.fullmatch(item)):
        return int(written[1]), float(written[2])
    if isinstance(item, Mapping) and {"id", "scale"} <= item.keys():
        scale = float32(name, item["scale"])
        if math.isfinite(scale):
            return integer(name, item["id"]), scale
    raise OptionTypeError(name, "an array of objects with id and scale")


def sampler_names(name: str, value: Any) -> SamplerNames:
    """Names of SAMPLERS or ADAPTIVE_P, in the order of the list; or one text: names between semicolons, or letters.

    Names are read as llama-server reads them, and unknown ones left out with a log line.
    """
    if isinstance(value, str):
        if set(value) <= _LETTERS.keys():
            return tuple(_LETTERS[letter] for letter in value)
        value = [value]
    said = [part.strip() for item in strings(name, value) for part in item.split(";")]
    known = [(part, _known_sampler(part)) for part in said if part]
    for part, found in known:
        if found is None:
            logger.warning("invalid sampler provided: sampler=%s", part)
    return tuple(found for _, found in known if found is not None)


def _known_sampler(text: str) -> str | None:
    plain = text.lower()
    if plain in _ALIASES:
        return _ALIASES[plain]
    return next((s for s in (*SAMPLERS, ADAPTIVE_P) if plain in (s, s.replace("_", "-"), s.replace("_", ""))), None)
