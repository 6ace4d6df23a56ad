"""BOS, EOS and the like: their ids, whether they are added to every text, and the templates that use them.

The rules are upstream's (gguf-py/gguf/vocab.py, SpecialVocab): `tokenizer.json` says what its post-processor adds,
`tokenizer_config.json` which texts the tokens have, `config.json` which ids, in that order of weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.keys import Keys
from models.errors import CreateFailed

USUAL: Final = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
ID_KEYS: Final = {
    "bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask",
    "eot": "eot", "eom": "eom",
}  # fmt: skip
"""What the key of an id begins with; llama.cpp spells one of them so."""

ADD_KEYS: Final = ("bos", "eos", "sep")
MERGED_SPACE: Final = chr(ord(" ") + 256)
"""A space inside a part of a merge, as byte-level tokenizers write it."""


@dataclass(slots=True)
class SpecialTokens:
    """What the files say; `ids` holds the first that was said."""

    n_vocab: int | None = None
    ids: dict[str, int] = field(default_factory=dict)
    added: dict[str, bool] = field(default_factory=dict)
    normalizer: dict[str, bool] = field(default_factory=dict)
    merges: Sequence[str] = ()
    chat_template: str | list[Any] | None = None

    def put(self, kind: str, token_id: Any) -> None:
        """An id, unless there is one, or the vocabulary does not have it. Raises: CreateFailed for a negative one."""
        if not isinstance(token_id, int) or isinstance(token_id, bool):
            return
        if token_id < 0:
            raise CreateFailed(f"invalid value for special token type {kind}: {token_id}")
        if self.n_vocab is None or token_id < self.n_vocab:
            self.ids.setdefault(kind, token_id)

    def write(self, keys: Keys) -> None:
        keys.array("tokenizer.ggml.merges", self.merges)
        for kind, token_id in self.ids.items():
            if kind in ID_KEYS:
                keys.uint32(f"tokenizer.ggml.{ID_KEYS[kind]}_token_id", token_id)
        for kind, is_added in self.added.items():
            if kind in ADD_KEYS:
                keys.flag(f"tokenizer.ggml.add_{kind}_token", is_added)
        for name, value in self.normalizer.items():
            keys.flag(f"tokenizer.ggml.normalizer.{name}", value)
        if self.chat_template is not None:
            _write_template(keys, self.chat_template)


def read_special_tokens(
    files: Checkpoint, *, merges: bool = False, n_vocab: int | None = None, kinds: Iterable[str] = USUAL
) -> SpecialTokens:
    """Raises: CreateFailed."""
    found = SpecialTokens(n_vocab)
    tokenizer = files.json("tokenizer.json") or {}
    settings = dict(files.json("tokenizer_config.json") or {})
    reader = _Reader(found, settings, tuple(kinds))
    if tokenizer:
        if merges:
            found.merges = _merges(tokenizer)
        _read_normalizer(found, tokenizer.get("normalizer"))
        reader.read_post_processor(tokenizer.get("post_processor"))
    if settings:
        found.chat_template = _chat_template(files, settings)
        reader.read_settings(tokenizer.get("added_tokens"))
    reader.read_config(files.json("config.json") or {})
    return found


# ---- tokenizer.json


def _merges(tokenizer: Mapping[str, Any]) -> list[str]:
    merges = _object(tokenizer.get("model")).get("merges")
    if not isinstance(merges, list):
        return []
    return [_merge(pair) for pair in merges]


def _merge(pair: Any) -> str:
    if isinstance(pair, str):
        return pair
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
        return " ".join(part.replace(" ", MERGED_SPACE) for part in pair)
    raise CreateFailed("Unknown tokenizer merges format")


def _read_normalizer(found: SpecialTokens, normalizer: Any) -> None:
    fields = _object(normalizer)
    match fields.get("type"):
        case "Lowercase":
            found.normalizer["lowercase"] = True
        case "StripAccents":
            found.normalizer["strip_accents"] = True
        case "BertNormalizer":
            for name in ("lowercase", "strip_accents"):
                if isinstance(fields.get(name), bool):
                    found.normalizer[name] = fields[name]
        case "Sequence":
            for inner in _list(fields.get("normalizers")):
                _read_normalizer(found, inner)


@dataclass(slots=True)
class _Reader:
    """Reads into `found`; `settings` are those of `tokenizer_config.json`, with what turns out while reading."""

    found: SpecialTokens
    settings: dict[str, Any]
    kinds: tuple[str, ...]
    bos: Any = None
    eos: Any = None
    cls: Any = None
    sep: Any = None

    def read_post_processor(self, processor: Any) -> None:
        self.bos, self.cls = self.settings.get("bos_token"), self.settings.get("cls_token")
        self.eos, self.sep = self.settings.get("eos_token"), self.settings.get("sep_token")
        if not self.bos and self.cls:
            self.bos = self._set("bos_token", self.cls)
        if not self.eos and self.sep:
            self.eos = self._set("eos_token", self.sep)
        fields = _object(processor)
        for step in _list(fields["processors"]) if "processors" in fields else [fields]:
            match _object(step).get("type"):
                case "ByteLevel":
                    self.found.added.setdefault("bos", False)
                    self.found.added.setdefault("eos", False)
                case "RobertaProcessing":
                    self._read_roberta(step)
                case "TemplateProcessing":
                    self._read_template(step)

    def _set(self, key: str, value: Any) -> Any:
        """A setting that was not there; without a file of settings nothing is."""
        if self.settings:
            self.settings[key] = value
        return value

    def _read_roberta(self, step: Mapping[str, Any]) -> None:
        self.found.added |= {"bos": True, "eos": True, "sep": True}
        if not self.cls and self.settings:
            self.cls = self._set("cls_token", _first(step.get("cls"), self.bos))
        if not self.sep and self.settings:
            self.sep = self._set("sep_token", _first(step.get("sep"), self.eos))

    def _read_template(self, step: Mapping[str, Any]) -> None:
        """Simple templates only: what stands before the text, behind it, and between two."""
        single, pair = _list(step.get("single")), _list(step.get("pair"))
        first = last = None
        if len(single) > 1:
            if first := _special(single[0]):
                self._begins_with(first)
            if last := _special(single[-1]):
                self._ends_with(last)
        if pair:
            self._read_pair(pair, first, last)

    def _begins_with(self, first: str) -> None:
        if not self.settings:
            self.bos = first
        elif first not in (_text(self.bos), _text(self.cls)):
            if not self.bos:
                self.bos = self._set("bos_token", first)
            if not self.cls:
                self.cls = self._set("cls_token", first)
        self.found.added["bos"] = first in (_text(self.bos), _text(self.cls))

    def _ends_with(self, last: str) -> None:
        if not self.settings:
            self.eos = last
        elif last != _text(self.eos):
            spare = next((kind for kind in ("eot", "eom") if kind not in self.kinds), None)
            if spare:
                self.kinds = (*self.kinds, spare)
                self.settings[f"{spare}_token"] = self.eos
            self.eos = self._set("eos_token", last)
        self.found.added["eos"] = last == _text(self.eos)

    def _read_pair(self, pair: list[Any], first: str | None, last: str | None) -> None:
        start = 1 if first and _special(pair[0]) == first else 0
        stop = len(pair) - 1 if last and _special(pair[-1]) == last else len(pair)
        inner = pair[start:stop]
        if len(inner) < 3 or _sequence(inner[0]) != "A" or _sequence(inner[-1]) != "B":
            return
        between, separators = inner[1:-1], (_text(self.sep), _text(self.eos))
        adds = _special(between[0]) in separators and not last
        if len(between) == 2 and _special(between[1]) in separators:
            adds = True
        self.found.added["sep"] = adds
        if adds and not self.sep:
            self._set("sep_token", self.eos)

    def read_settings(self, added_tokens: Any) -> None:
        """The flags and texts of `tokenizer_config.json`; what the post-processor does counts for more."""
        ids = {}
        for entry in reversed(_list(added_tokens)):
            if isinstance(text := _object(entry).get("content"), str):
                ids[text] = entry.get("id")
        for kind in self.kinds:
            is_added = self.settings.get(f"add_{kind}_token")
            if isinstance(is_added, bool):
                self.found.added.setdefault(kind, is_added)
            if (text := _text(self.settings.get(f"{kind}_token"))) is not None:
                self.found.put(kind, ids.get(text))

    def read_config(self, config: Mapping[str, Any]) -> None:
        for kind in self.kinds:
            token_id = config.get(f"{kind}_token_id")
            if token_id is None:
                token_id = _object(config.get("text_config")).get(f"{kind}_token_id")
            self.found.put(kind, token_id)


def special_texts(files: Checkpoint) -> frozenset[str]:
    """The texts of all special tokens that `tokenizer_config.json` and `special_tokens_map.json` name."""
    texts: set[str] = set()
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        fields = files.json(name) or {}
        named = [fields.get(f"{kind}_token") for kind in USUAL]
        several = [*_list(fields.get("additional_special_tokens")), *_list(fields.get("extra_special_tokens"))]
        texts.update(text for entry in (*named, *several) if (text := _text(entry)) is not None)
    return frozenset(texts)


# ---- chat templates


def _chat_template(files: Checkpoint, settings: Mapping[str, Any]) -> str | list[Any] | None:
    """From the settings, else from a file of its own."""
    if "chat_template" in settings:
        template = settings["chat_template"]
    elif files.has("chat_template.jinja"):
        template = files.text("chat_template.jinja")
    else:
        template = (files.json("chat_template.json") or {}).get("chat_template")
    return template if isinstance(template, str | list) else None


def _write_template(keys: Keys, template: str | list[Any]) -> None:
    """One template, or several by name, of which `default` is the one."""
    if isinstance(template, str):
        keys.text("tokenizer.chat_template", template)
        return
    names: list[str] = []
    for choice in map(_object, template):
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in str(choice.get("name") or ""))
        text = choice.get("template")
        if not name or not isinstance(text, str):
            continue
        if name == "default":
            keys.text("tokenizer.chat_template", text)
        else:
            keys.text(f"tokenizer.chat_template.{name}", text)
            names.append(name)
    keys.array("tokenizer.chat_templates", sorted(set(names)))


# ---- JSON of unknown form


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(entry: Any) -> str | None:
    """A token that is given as its text, or as an object that has it."""
    content = entry.get("content") if isinstance(entry, dict) else entry
    return content if isinstance(content, str) else None


def _first(values: Any, otherwise: Any) -> Any:
    return values[0] if isinstance(values, list) and values else otherwise


def _special(item: Any) -> str | None:
    return _text(_object(_object(item).get("SpecialToken")).get("id"))


def _sequence(item: Any) -> str | None:
    return _text(_object(_object(item).get("Sequence")).get("id"))
