"""Constrained output: which tokens may come next, by llguidance."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from models.errors import InvalidConstraint
from models.runner.settings import Constraint
from models.sampling import gbnf, trial
from models.sampling.closed import close_objects
from models.sampling.constraint_errors import ENDLESS, TOO_COSTLY, explain, place_in_schema, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llguidance import LLMatcher, LLTokenizer

_FORMATS = ("json", "json_schema")
MAX_CONSTRAINT_CHARS = 1024 * 1024
_MOST_TRIED = 256
"""Grammars that were tried and are remembered."""

_NO_FORCING = '\n%llguidance {"no_forcing": true}'
"""Compat: text that a format leaves no choice about is still the model's to cut into tokens, which are counted.

Nor would it help to take a token where just one is allowed: with the vocabularies of Llama 3, Qwen 2 and Gemma 4 that
was so nowhere in 1,000 tokens of JSON, as text that must come is allowed in parts of every length, and to ask would
cost 3 to 5 µs a token.
"""

# Compat: prompting 7, the grammar of format "json": one object, no white space before it and none after it.
_JSON_OBJECT = r"""
start: object
object: "{" WS? (member ("," WS? member)*)? WS? "}"
array: "[" WS? (value ("," WS? value)*)? WS? "]"
member: STRING ":" WS? value
value: object | array | STRING | NUMBER | ("true" | "false" | "null") WS?
WS: /[ \t\n]+/
STRING: /"([^"\\\x7F\x00-\x1F]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
"""

# Compat: llama.cpp's own conversion of schemas lets this much white space stand between two tokens of JSON, and no
# more: a model cannot fill the context with it. Keywords that it does not know it ignores.
_SCHEMA_OPTIONS = {"whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})?", "lenient": True}


class Vocabulary(Protocol):
    """What a constraint must know of a vocabulary."""

    @property
    def n_tokens(self) -> int: ...
    @property
    def end_tokens(self) -> Collection[int]: ...
    def raw_piece(self, token: int) -> bytes: ...
    def is_special(self, token: int) -> bool: ...
    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> npt.NDArray[np.int32]: ...


class Matcher:
    """Follows one sequence through a grammar."""

    def __init__(self, matcher: LLMatcher, n_vocab: int, end_tokens: Collection[int]) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._end_tokens = end_tokens
        self._bits = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)
        self._bits_address = self._bits.ctypes.data
        self._check()

    def allows(self, token: int) -> bool:
        if token in self._end_tokens:
            return self._matcher.is_accepting()
        return self._matcher.validate_tokens([token]) == 1

    def allowed(self) -> npt.NDArray[np.intp]:
        """The tokens that may come next, ends included where the output is complete."""
        self._matcher.unsafe_compute_mask_ptr(self._bits_address, self._bits.nbytes)
        self._check()
        words = np.flatnonzero(self._bits)  # mostly few have a bit
        rows, places = np.unpackbits(self._bits[words].view(np.uint8), bitorder="little").reshape(-1, 32).nonzero()
        tokens: npt.NDArray[np.intp] = words[rows] * 32 + places
        return tokens[tokens < self._n_vocab]

    def can_begin(self) -> bool:
        """Whether there is anything that may come next. Raises: InvalidConstraint."""
        return len(self.allowed()) > 0

    def forced(self) -> Sequence[int]:
        """The tokens that come next, where the grammar leaves no choice; without ends."""
        return self._matcher.compute_ff_tokens()

    def accept(self, token: int) -> None:
        """Move on past an allowed token. Raises: InvalidConstraint."""
        if token not in self._end_tokens:
            self._matcher.consume_token(token)
            self._check()

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow but the end."""
        return self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidConstraint(explain("", self._matcher.get_error()))


class Grammars:
    """Compiles constraints for one vocabulary. Preparing the vocabulary takes a good part of a second, once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None
        self._tried: dict[bytes, bool] = {}

    def is_quick(self, constraint: Constraint) -> bool:
        """Whether `matcher` will take about a millisecond."""
        if self._tokenizer is None or len(constraint.text) > trial.SMALL_CHARS:
            return False
        try:
            return not trial.is_needed(constraint.kind, constraint.text)
        except (ValueError, RecursionError):
            return True  # which is soon found out

    def matcher(self, constraint: Constraint) -> Matcher:
        """Compile a constraint. Raises: InvalidConstraint."""
        kind, text = constraint.kind, constraint.text
        if len(text) > MAX_CONSTRAINT_CHARS:
            raise InvalidConstraint(f"the {kind} is longer than {MAX_CONSTRAINT_CHARS} characters")
        tags = (self._tag_rules(i, tag) for i, tag in enumerate(constraint.tags))
        lark = "\n".join((_to_lark(constraint), *tags)) + _NO_FORCING * (kind in _FORMATS)
        if trial.is_needed(kind, text) and not self._ends(lark):
            raise refusal(kind, text, TOO_COSTLY)
        native = self._compile(lark)
        if native.is_error():
            place = self._place(text) if kind == "json_schema" else ""
            raise refusal(kind, text, native.get_error(), place=place)
        matcher = Matcher(native, self._vocabulary.n_tokens, self._vocabulary.end_tokens)
        try:
            begins = matcher.can_begin()
        except InvalidConstraint as error:
            raise refusal(kind, text, str(error)) from error
        if not begins:
            raise refusal(kind, text, ENDLESS)
        return matcher

    def _ends(self, lark: str) -> bool:
        """Whether compiling comes to an end; a grammar for which that is known is not tried again."""
        key = hashlib.sha256(lark.encode("utf-8", "replace")).digest()
        ends = self._tried.get(key)
        if ends is None and (ends := trial.ends(lark)) is not None:
            if len(self._tried) == _MOST_TRIED:
                del self._tried[next(iter(self._tried))]
            self._tried[key] = ends
        return ends is True

    def _compile(self, lark: str) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits  # here, since most runners never constrain anything

        if self._tokenizer is None:
            self._tokenizer = _prepare(self._vocabulary)
        grammar = LLMatcher.grammar_from_lark(lark)
        return LLMatcher(self._tokenizer, grammar, log_level=0, limits=LLParserLimits(**trial.LIMITS))

    def _place(self, schema: str) -> str:
        """Which part of a schema that does not compile is to blame."""
        return place_in_schema(json.loads(schema), self._is_wrong)

    def _is_wrong(self, schema: dict[str, Any]) -> bool:
        """Whether it fails, and does so soon: where the whole fails at once, a part may still be what never ends."""
        lark = _lark_of_schema(schema) + _NO_FORCING
        if trial.is_needed("json_schema", json.dumps(schema)) and not self._ends(lark):
            return False
        return self._compile(lark).is_error()

    def _tag_rules(self, i: int, tag: str) -> str:
        """The rules for a text that may be a control token, which grammars name by its number."""
        tokens = self._vocabulary.tokenize(tag, add_special=False)
        if len(tokens) == 1 and self._vocabulary.is_special(int(tokens[0])):
            return f"tag_{i}: <[{tokens[0]}]>\nuntil_tag_{i}: /(.|\\n)*/ tag_{i}"
        text = json.dumps(tag, ensure_ascii=False)
        return f"tag_{i}: {text}\nuntil_tag_{i}[suffix={text}]: /(.|\\n)*/"


def _to_lark(constraint: Constraint) -> str:
    """The constraint as a grammar in llguidance's form of Lark. Raises: InvalidConstraint."""
    from llguidance import regex_to_lark

    kind, text = constraint.kind, constraint.text
    try:
        match kind:
            case "json":
                return _JSON_OBJECT
            case "json_schema":
                return _lark_of_schema(_schema(text))
            case "lark" | "calls":
                return text
            case "gbnf":
                return gbnf.to_lark(text)
            case "regex":
                return f"start: TEXT\nTEXT: /{regex_to_lark(text, '')}/"
    except RecursionError as error:
        raise refusal(kind, text, "too deep a recursion") from error
    except json.JSONDecodeError as error:
        raise refusal(kind, text, f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except gbnf.GbnfError as error:
        raise refusal(kind, text, str(error)) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise refusal(kind, text, "a number has too many digits") from error
    raise InvalidConstraint(f"unknown kind of constraint: {kind}")


def _schema(text: str) -> dict[str, Any]:
    """Raises: InvalidConstraint, JSONDecodeError, RecursionError."""
    schema = json.loads(text)
    if not isinstance(schema, dict):
        raise refusal("json_schema", text, "a JSON schema must be an object")
    return schema


def _lark_of_schema(schema: dict[str, Any]) -> str:
    """A grammar of what a schema describes, with options for the one who reads it. Raises: RecursionError."""
    return f"start: %json {json.dumps(close_objects(schema) | {'x-guidance': _SCHEMA_OPTIONS})}"


class _Tokens:
    """The shape in which llguidance takes a vocabulary that is not one of its own."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        n = vocabulary.n_tokens
        self._vocabulary = vocabulary
        self.tokens: Sequence[bytes] = [vocabulary.raw_piece(token) for token in range(n)]
        self.special_token_ids = [token for token in range(n) if vocabulary.is_special(token)]
        self.bos_token_id = None
        self.eos_token_id = min(vocabulary.end_tokens, default=n - 1)

    def __call__(self, text: bytes) -> list[int]:
        """Tokens of a text that the grammar forces."""
        tokens = self._vocabulary.tokenize(text.decode("utf-8", "replace"), add_special=False, parse_special=False)
        return [int(token) for token in tokens]


def _prepare(vocabulary: Vocabulary) -> LLTokenizer:
    from llguidance import LLTokenizer, TokenizerWrapper

    ends = sorted(vocabulary.end_tokens)
    return LLTokenizer(TokenizerWrapper(_Tokens(vocabulary)), n_vocab=vocabulary.n_tokens, eos_token=ends or None)
