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

    def __init__(self) -> None:
        self._n_chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def fields(self, delta: Delta) -> dict[str, Any]:
        """Of the next part of the choice; thoughts are told no more than their text."""
        tokens = () if delta.thinking and not delta.content else delta.logprobs
        return {
            "tokens": [_token_text(token.piece) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [{_token_text(o.piece): o.logprob for o in token.top} for token in tokens],
            "text_offset": [self._pass(token) for token in tokens],
        }

    def _pass(self, token: TokenLogprob) -> int:
        """Where the token begins."""
        start = self._n_chars
        self._n_chars += len(self._decoder.decode(token.piece))
        return start


def _token_text(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def mean_logprob(tokens: Sequence[TokenLogprob]) -> float:
    """How likely a reply is, whatever its length; an empty one is as unlikely as can be."""
    return sum(token.logprob for token in tokens) / len(tokens) if tokens else float("-inf")
