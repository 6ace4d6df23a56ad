"""Log-probabilities of completions, in the form that OpenAI had before there were chats.

Four lists of equal length: tokens, their log-probabilities, those of the best at each place, and where in the text each
token begins. A token that is no whole character is told as `bytes:\\xe2\\x80`, as OpenAI does.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from models.parsers.events import Delta, TokenLogprob


class CompletionLogprobs:
    """Keeps count of the characters of one choice."""

    def __init__(self, *, scores_prompt: bool = False) -> None:
        """`scores_prompt`: those of the prompt come first, and its text; there is none for the very first token."""
        self._n_chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._scores_prompt = scores_prompt
        self._has_begun = not scores_prompt
        self._text = ""

    def fields(self, delta: Delta) -> dict[str, Any]:
        """Of the next part of the choice; thoughts are told no more than their text."""
        tokens = () if delta.thinking and not delta.content else delta.logprobs
        if self._scores_prompt and not self._n_chars:
            self._text += delta.content
        found: dict[str, Any] = {
            "tokens": [_token_text(token.piece) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [{_token_text(o.piece): o.logprob for o in token.top} for token in tokens],
            "text_offset": [self._pass(token) for token in tokens],
        }
        if tokens and not self._has_begun:
            self._has_begun = True
            found["token_logprobs"][0] = found["top_logprobs"][0] = None
        return found

    def _pass(self, token: TokenLogprob) -> int:
        """Where the token begins."""
        start = self._n_chars
        text = self._decoder.decode(token.piece)
        self._n_chars += self._n_of_prompt(text) if self._scores_prompt and not start else len(text)
        return start

    def _n_of_prompt(self, text: str) -> int:
        """What the first tokens take of a prompt: nothing where a tokenizer put them, or a space, before it."""
        if self._text.startswith(text):
            return len(text)
        return len(text) - 1 if text[:1] == " " and self._text.startswith(text[1:]) else 0


def _token_text(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def mean_logprob(tokens: Sequence[TokenLogprob]) -> float:
    """How likely a reply is, whatever its length; an empty one is as unlikely as can be."""
    return sum(token.logprob for token in tokens) / len(tokens) if tokens else float("-inf")
