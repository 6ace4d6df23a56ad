"""A request to generate becomes a task: text becomes tokens, sizes are checked, the sampler is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np

from models.engine.context_end import ContextRules, fit_prompt
from models.engine.media import Media, PlacedMedia, lay_out
from models.engine.ports import Tokens, Vocabulary
from models.engine.samplers import Samplers, out_of_range, refused
from models.engine.sequence import Task
from models.errors import BadRequest, InvalidToken, Unsupported
from models.runner.lanes import Lane, Steps
from models.runner.messages import Generate, MixedPrompt

ReadMedia = Callable[[Sequence[str | bytes]], Sequence[Tokens | Media]]

NO_PROJECTOR = "this model does not support image input"

_QUICK_CHARS = 16 * 1024
"""Prompts up to this are tokenized in a few milliseconds, between two steps."""


class Preparer:
    """Makes tasks, in any thread: it touches the vocabulary only, never a context."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        rules: ContextRules,
        *,
        read_media: ReadMedia | None = None,
        uses_backend: bool = False,
    ) -> None:
        """`uses_backend`: the backend picks the tokens of those requests for which it can.
        `read_media` makes tokens and media of texts and files; None: the model has no projector.
        """
        self._read_media = read_media
        self._vocabulary = vocabulary
        self._rules = rules
        self._samplers = Samplers(vocabulary, rules.n_ctx_seq, uses_backend=uses_backend)

    def prepare(self, request: Generate) -> Steps[Task]:
        """Raises: BadRequest."""
        if request.n_keep < -1:
            raise refused(f"Field 'n_keep': {out_of_range(-1, request.n_keep)}")
        if request.mixed is not None or len(request.prompt) > _QUICK_CHARS:
            yield Lane.READING
        tokens, media = self._read(request)
        n_bytes = len(request.prompt.encode()) if request.tokens is None else len(request.tokens)
        truncate = request.truncate and not media  # Compat: prompting 8.2
        prompt = fit_prompt(tokens, n_bytes, n_keep=request.n_keep, truncate=truncate, rules=self._rules)
        sampler = yield from self._samplers.make(request, prompt[prompt >= 0] if media else prompt)
        return Task(
            request_id=request.request_id,
            prompt=prompt,
            n_truncated=len(tokens) - len(prompt),
            sampler=sampler,
            chain=self._samplers.chain(request),
            stops=request.stop,
            n_predict=request.n_predict,
            n_keep=request.n_keep,
            n_logprobs=request.n_logprobs,
            shown=self._control_tokens(request.shown),
            media=media,
            adapters=request.adapters,
            scores_prompt=request.scores_prompt and not media,
            may_force=request.n_logprobs is None
            and not (request.constraint is None and request.thought_budget is None),
        )

    def _read(self, request: Generate) -> tuple[Tokens, tuple[PlacedMedia, ...]]:
        """The prompt as tokens, with marks where images are. Raises: BadRequest."""
        if request.tokens is not None:
            return self._known(request.tokens), ()
        if request.mixed is None:
            return self._vocabulary.tokenize(request.prompt, add_special=True), ()
        if self._read_media is None:
            raise Unsupported(NO_PROJECTOR)
        tokens, media = lay_out(self._read_media(_interleaved(request.mixed)))
        if media and media[-1].end == len(tokens):
            raise BadRequest("a prompt cannot end with an image or a sound")
        return tokens, media

    def _known(self, tokens: Sequence[int]) -> Tokens:
        """Raises: InvalidToken."""
        n_vocab = self._vocabulary.n_tokens
        for token in tokens:
            if not 0 <= token < n_vocab:
                raise InvalidToken(token, n_vocab)
        return np.array(tokens, dtype=np.int32)

    def _control_tokens(self, texts: tuple[str, ...]) -> frozenset[int]:
        """Those texts that are one control token each."""
        found = (self._vocabulary.tokenize(text, add_special=False) for text in texts)
        return frozenset(int(tokens[0]) for tokens in found if len(tokens) == 1)


def _interleaved(prompt: MixedPrompt) -> list[str | bytes]:
    """Texts and files in the order in which they stand; empty texts say nothing."""
    pairs = zip_longest(prompt.texts, prompt.files, fillvalue="")
    return [part for pair in pairs for part in pair if part != ""]
