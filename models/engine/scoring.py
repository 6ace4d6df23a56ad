"""Log-probabilities of a prompt's tokens, each by the model's logits after those before it."""

from __future__ import annotations

from models.engine.ports import Floats, Tokens, Vocabulary
from models.runner.messages import Chunk, TokenLogprob, TokenProb
from models.sampling.logprobs import LogProbs
from models.sampling.usable import best_of


class PromptScoring:
    """Reads the logits of a prompt as they are computed, and keeps none of them."""

    def __init__(self, request_id: int, prompt: Tokens, n_top: int, vocabulary: Vocabulary) -> None:
        """`n_top`: of so many tokens that might have stood there the log-probabilities are told, too."""
        self._request_id = request_id
        self._prompt = prompt
        self._n_top = n_top
        self._vocabulary = vocabulary
        self._n_told = 0

    @property
    def is_over(self) -> bool:
        return self._n_told == len(self._prompt)

    def read(self, logits: Floats, start: int) -> Chunk | None:
        """What is certain with the logits after the tokens from `start` on, shape (n, n_vocab).

        The first token of all has no log-probability; it is told with 0. Those that were told before, and are computed
        again, are not told again. Raises: UnusableOutput.
        """
        told: list[TokenLogprob] = []
        if self._n_told == 0:
            told.append(TokenLogprob(self._piece(int(self._prompt[0])), 0.0))
        for row, place in enumerate(range(start + 1, min(start + 1 + len(logits), len(self._prompt)))):
            if place == self._n_told + len(told):
                told.append(self._score(logits[row], int(self._prompt[place])))
        self._n_told += len(told)
        return Chunk(self._request_id, "", tuple(told), n_tokens=0) if told else None

    def _score(self, logits: Floats, token: int) -> TokenLogprob:
        best_of(logits)
        probs = LogProbs(logits, self._n_top)
        top = tuple(TokenProb(self._piece(other), probs.of(other)) for other in probs.top)
        return TokenLogprob(self._piece(token), probs.of(token), top)

    def _piece(self, token: int) -> bytes:
        return self._vocabulary.raw_piece(token)
