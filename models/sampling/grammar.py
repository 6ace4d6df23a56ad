"""Constrained output: which tokens may come next, by llguidance."""

from __future__ import annotations

import hashlib
import json
import threading
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from models.errors import InvalidConstraint
from models.runner.lanes import Lane, Steps
from models.runner.settings import Constraint
from models.sampling import gbnf, trial
from models.sampling.closed import close_objects
from models.sampling.constraint_errors import ENDLESS, TOO_COSTLY, GrammarError, explain, place_in_schema, refusal
from models.sampling.named_tokens import NamedTokens, number_tokens
from models.sampling.named_tokens import Vocabulary as NamedVocabulary
from models.sampling.passes import tokens_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llguidance import LLMatcher, LLTokenizer

K = TypeVar("K")
V = TypeVar("V")

_FORMATS = ("json", "json_schema")
MAX_CONSTRAINT_CHARS = 1024 * 1024
_MOST_TRIED = 256
"""Grammars that were tried and are remembered."""
_MOST_COMPILED = 32
"""Constraints that are kept as they were compiled; small ones, of which nothing can be large."""

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


class Vocabulary(NamedVocabulary, Protocol):
    """What a constraint must know of a vocabulary."""

    def is_special(self, token: int) -> bool: ...


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
        return tokens_of(self._bits, self._n_vocab)

    def can_begin(self) -> bool:
        """Whether there is anything that may come next. Raises: InvalidConstraint."""
        return len(self.allowed()) > 0

    def forced(self) -> Sequence[int]:
        """The tokens that come next, where the grammar leaves no choice; without ends."""
        return self._matcher.compute_ff_tokens()

    def copy(self) -> Matcher:
        """One more that is where this one is; takes some microseconds."""
        return Matcher(self._matcher.deep_copy(), self._n_vocab, self._end_tokens)

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


class Verdict(Enum):
    """Whether compiling a grammar comes to an end."""

    SOON = auto()
    LATE = auto()
    NEVER = auto()


class Grammars:
    """Compiles constraints for one vocabulary, in any thread. To prepare that takes a good part of a second, once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens = NamedTokens(vocabulary)
        self._lock = threading.Lock()  # over what follows
        self._tokenizer: LLTokenizer | None = None
        self._verdicts: dict[bytes, Verdict] = {}
        self._compiled: dict[Constraint, Matcher] = {}

    def matcher(self, constraint: Constraint) -> Steps[Matcher]:
        """Compile a constraint, or take one that has been compiled before. Raises: InvalidConstraint."""
        key = replace(constraint, thought=None)
        is_small = len(constraint.text) <= trial.SMALL_CHARS
        if is_small and (known := self._compiled.get(key)) is not None:
            return known.copy()
        yield Lane.COMPILING
        lark = self._to_lark(constraint)
        needs_trial = trial.is_needed(constraint.kind, constraint.text)
        if needs_trial and not (yield from self._ends(lark)):
            raise refusal(constraint.kind, constraint.text, TOO_COSTLY)
        matcher = yield from self._begin(constraint, lark)
        if is_small and not needs_trial:
            with self._lock:
                _remember(self._compiled, key, matcher.copy(), _MOST_COMPILED)
        return matcher

    def _to_lark(self, constraint: Constraint) -> str:
        kind, text = constraint.kind, constraint.text
        if len(text) > MAX_CONSTRAINT_CHARS:
            raise InvalidConstraint(f"the {kind} is longer than {MAX_CONSTRAINT_CHARS} characters")
        tags = (self._tag_rules(i, tag) for i, tag in enumerate(constraint.tags))
        return "\n".join((_to_lark(constraint, self._tokens), *tags)) + _NO_FORCING * (kind in _FORMATS)

    def _begin(self, constraint: Constraint, lark: str) -> Steps[Matcher]:
        """Raises: InvalidConstraint, for a mistake, and where nothing can come."""
        kind, text = constraint.kind, constraint.text
        native = self._compile(lark)
        if native.is_error():
            place = ""
            if kind == "json_schema":
                yield Lane.TRYING
                place = place_in_schema(json.loads(text), self._is_wrong)
            raise refusal(kind, text, native.get_error(), place=place)
        matcher = Matcher(native, self._vocabulary.n_tokens, self._vocabulary.end_tokens)
        try:
            begins = matcher.can_begin()
        except InvalidConstraint as error:
            raise refusal(kind, text, str(error)) from error
        if not begins:
            raise refusal(kind, text, ENDLESS)
        return matcher

    def _ends(self, lark: str) -> Steps[bool]:
        """Whether compiling comes to an end; then it goes on in a lane for what takes so long."""
        verdict = self._verdicts.get(_key(lark))
        if verdict is None:
            yield Lane.TRYING
            verdict = self._judge(lark, trial.BRIEF)
        if verdict in (None, Verdict.LATE):
            yield Lane.PERSISTING
            verdict = self._judge(lark, trial.FULL)
        return verdict in (Verdict.SOON, Verdict.LATE)

    def _judge(self, lark: str, budget: trial.Budget) -> Verdict | None:
        """What is known of a grammar by now, or else found out; None: the budget or the machine did not allow it."""
        key = _key(lark)
        known = self._verdicts.get(key)
        if known is not None or (ends := trial.ends(lark, budget, n_tokens=self._tokens.n_tokens)) is None:
            return known
        found = Verdict.NEVER if not ends else Verdict.SOON if budget is trial.BRIEF else Verdict.LATE
        with self._lock:
            _remember(self._verdicts, key, found, _MOST_TRIED)
        return found

    def _compile(self, lark: str) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits  # here, since most runners never constrain anything

        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = _prepare(self._vocabulary)
        grammar = LLMatcher.grammar_from_lark(lark)
        return LLMatcher(self._tokenizer, grammar, log_level=0, limits=LLParserLimits(**trial.LIMITS))

    def _is_wrong(self, schema: dict[str, Any]) -> bool:
        """Whether it fails, and does so soon: where the whole fails at once, a part may still be what never ends."""
        lark = _lark_of_schema(schema) + _NO_FORCING
        if trial.is_needed("json_schema", json.dumps(schema)) and self._judge(lark, trial.BRIEF) is not Verdict.SOON:
            return False
        return self._compile(lark).is_error()

    def _tag_rules(self, i: int, tag: str) -> str:
        """The rules for a text that may be a control token, which grammars name by its number."""
        tokens = self._vocabulary.tokenize(tag, add_special=False)
        if len(tokens) == 1 and self._vocabulary.is_special(int(tokens[0])):
            return f"tag_{i}: <[{tokens[0]}]>\nuntil_tag_{i}: /(.|\\n)*/ tag_{i}"
        text = json.dumps(tag, ensure_ascii=False)
        return f"tag_{i}: {text}\nuntil_tag_{i}[suffix={text}]: /(.|\\n)*/"


def _key(lark: str) -> bytes:
    return hashlib.sha256(lark.encode("utf-8", "replace")).digest()


def _remember(known: dict[K, V], key: K, value: V, most: int) -> None:
    """Forgets the oldest where there is no room."""
    if key not in known and len(known) >= most:
        del known[next(iter(known))]
    known[key] = value


def _to_lark(constraint: Constraint, tokens: NamedTokens) -> str:
    """The constraint as a grammar in llguidance's form of Lark. Raises: InvalidConstraint."""
    from llguidance import regex_to_lark

    kind, text = constraint.kind, constraint.text
    try:
        match kind:
            case "json":
                return _JSON_OBJECT
            case "json_schema":
                return _lark_of_schema(_schema(text))
            case "calls":
                return text
            case "lark":
                return number_tokens(text, tokens)
            case "gbnf":
                return gbnf.to_lark(text, tokens)
            case "regex":
                return f"start: TEXT\nTEXT: /{regex_to_lark(text, '')}/"
    except RecursionError as error:
        raise refusal(kind, text, "too deep a recursion") from error
    except json.JSONDecodeError as error:
        raise refusal(kind, text, f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except GrammarError as error:
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
        pieces = [vocabulary.raw_piece(token) for token in range(vocabulary.n_tokens)]
        self._vocabulary = vocabulary
        self.tokens: Sequence[bytes] = [piece or b"<[%d]>" % token for token, piece in enumerate(pieces)]
        self.special_token_ids = [t for t, piece in enumerate(pieces) if not piece or vocabulary.is_special(t)]
        self.bos_token_id = None
        self.eos_token_id = min(vocabulary.end_tokens, default=len(pieces) - 1)

    def __call__(self, text: bytes) -> list[int]:
        """Tokens of a text that the grammar forces."""
        tokens = self._vocabulary.tokenize(text.decode("utf-8", "replace"), add_special=False, parse_special=False)
        return [int(token) for token in tokens]


def _prepare(vocabulary: Vocabulary) -> LLTokenizer:
    from llguidance import LLTokenizer, TokenizerWrapper

    ends = sorted(vocabulary.end_tokens)
    return LLTokenizer(TokenizerWrapper(_Tokens(vocabulary)), n_vocab=vocabulary.n_tokens, eos_token=ends or None)
