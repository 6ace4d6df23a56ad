"""Constrained output: which tokens may come next, by llguidance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from models.errors import InvalidConstraint
from models.runner.messages import Constraint
from models.sampling.chain import Floats

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llguidance import LLMatcher, LLTokenizer

MAX_CONSTRAINT_CHARS = 1024 * 1024

# Compat: prompting 7, the grammar of format "json": one object, no white space before it and none after it.
JSON_OBJECT = r"""
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
# more: a model cannot fill the context with it.
_JSON_SPACE = r"( |\n{1,2}[ \t]{0,20})?"


class Vocabulary(Protocol):
    """What a constraint must know of a vocabulary."""

    @property
    def n_tokens(self) -> int: ...
    @property
    def end_tokens(self) -> Collection[int]: ...
    def raw_piece(self, token: int) -> bytes: ...
    def is_special(self, token: int) -> bool: ...


class Matcher:
    """Follows one sequence through a grammar."""

    def __init__(self, matcher: LLMatcher, n_vocab: int, end_tokens: Collection[int]) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._end_tokens = end_tokens
        self._bits = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)
        self._check()

    def allows(self, token: int) -> bool:
        if token in self._end_tokens:
            return self._matcher.is_accepting()
        return self._matcher.validate_tokens([token]) == 1

    def mask(self, logits: Floats) -> None:
        """Set the logits of all tokens that may not come next to minus infinity. Raises: InvalidConstraint."""
        allowed = self.allowed()
        if len(allowed) == 0:
            raise InvalidConstraint("no token of this model's vocabulary can continue the constrained output")
        kept = logits[allowed]
        logits.fill(-np.inf)
        logits[allowed] = kept

    def allowed(self) -> npt.NDArray[np.intp]:
        """The tokens that may come next, ends included where the output is complete."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        return np.flatnonzero(np.unpackbits(self._bits.view(np.uint8), count=self._n_vocab, bitorder="little"))

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
        if error := self._matcher.get_error():
            raise InvalidConstraint(error)


class Grammars:
    """Compiles constraints for one vocabulary. Preparing the vocabulary takes a good part of a second, once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None

    @property
    def is_warm(self) -> bool:
        """Whether `matcher` will be quick."""
        return self._tokenizer is not None

    def matcher(self, constraint: Constraint) -> Matcher:
        """Compile a constraint. Raises: InvalidConstraint."""
        from llguidance import LLMatcher  # here, since most runners never constrain anything

        if len(constraint.text) > MAX_CONSTRAINT_CHARS:
            raise InvalidConstraint(f"the {constraint.kind} is longer than {MAX_CONSTRAINT_CHARS} characters")
        grammar = _to_grammar(constraint)
        if self._tokenizer is None:
            self._tokenizer = _prepare(self._vocabulary)
        native = LLMatcher(self._tokenizer, grammar, log_level=0)
        return Matcher(native, self._vocabulary.n_tokens, self._vocabulary.end_tokens)


def _to_grammar(constraint: Constraint) -> str:
    """The constraint in llguidance's own form. Raises: InvalidConstraint."""
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        match constraint.kind:
            case "json_object":
                return LLMatcher.grammar_from_lark(JSON_OBJECT)
            case "json_schema":
                return _schema_grammar(constraint.text)
            case "lark":
                return LLMatcher.grammar_from_lark(constraint.text)
            case "gbnf":
                return LLMatcher.grammar_from_lark(any_to_lark(constraint.text))
            case "regex":
                return LLMatcher.grammar_from_regex(constraint.text)
    except ValueError as error:
        raise InvalidConstraint(f"invalid {constraint.kind}: {error}") from error
    raise InvalidConstraint(f"unknown kind of constraint: {constraint.kind}")


def _schema_grammar(text: str) -> str:
    from llguidance import LLMatcher

    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        raise InvalidConstraint("a JSON schema must be an object")
    return LLMatcher.grammar_from_json_schema(
        text, overrides={"whitespace_pattern": _JSON_SPACE, "lenient": True, "coerce_one_of": True}
    )


class _Tokens:
    """The shape in which llguidance takes a vocabulary that is not one of its own."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        n = vocabulary.n_tokens
        self.tokens: Sequence[bytes] = [vocabulary.raw_piece(token) for token in range(n)]
        self.special_token_ids = [token for token in range(n) if vocabulary.is_special(token)]
        self.bos_token_id = None
        self.eos_token_id = min(vocabulary.end_tokens, default=n - 1)

    def __call__(self, text: bytes) -> list[int]:
        """Tokens of a text: only asked for forced text, which is not used."""
        return []


def _prepare(vocabulary: Vocabulary) -> LLTokenizer:
    from llguidance import LLTokenizer, TokenizerWrapper

    ends = sorted(vocabulary.end_tokens)
    return LLTokenizer(TokenizerWrapper(_Tokens(vocabulary)), n_vocab=vocabulary.n_tokens, eos_token=ends or None)
