"""An engine on a fake context, driven by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.engine.context_end import ContextRules
from models.engine.loop import Engine
from models.engine.prepare import Preparer
from models.runner.lanes import run_through
from models.runner.messages import Chunk, Failed, Finished, Generate
from models.runner.settings import Sampling
from tests.fakes.context import ByteVocabulary, FakeContext, Model, hashes

GREEDY = Sampling(temperature=0)


@dataclass
class EngineCase:
    """`heard` has every event by request id, in order."""

    model: Model
    n_slots: int = 4
    n_ctx: int = 256
    shift: bool = True
    vocabulary: ByteVocabulary = field(default_factory=ByteVocabulary)
    context: FakeContext | None = None
    prompt_cache_bytes: int = 0
    uses_backend: bool = False
    heard: dict[int, list[Chunk | Finished | Failed]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fake = self.context or FakeContext(self.model)
        rules = ContextRules(
            n_ctx=self.n_ctx, n_ctx_seq=self.n_ctx, shift=self.shift, adds_bos=self.vocabulary.adds_bos
        )
        self.preparer = Preparer(self.vocabulary, rules, uses_backend=self.uses_backend)
        self.engine = Engine(
            self.fake,
            self.vocabulary,
            rules,
            n_slots=self.n_slots,
            prompt_cache_bytes=self.prompt_cache_bytes,
            clock_ns=self._tick,
        )
        self._now_ns = 0

    def _tick(self) -> int:
        self._now_ns += 1_000_000
        return self._now_ns

    def submit(self, request_id: int, prompt: str, **fields: object) -> None:
        request = Generate(request_id, prompt, **{"sampling": GREEDY, **fields})  # type: ignore[arg-type]
        self.engine.submit(run_through(self.preparer.prepare(request)))

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            for event in self.engine.step():
                self.heard.setdefault(event.request_id, []).append(event)

    def run(self) -> None:
        """Step until nothing is left to do."""
        for _ in range(10_000):
            if not self.engine.has_work:
                return
            self.step()
        raise AssertionError("the engine does not come to an end")

    def chunks(self, request_id: int) -> list[Chunk]:
        return [event for event in self.heard.get(request_id, []) if isinstance(event, Chunk)]

    def text(self, request_id: int) -> str:
        return "".join(chunk.text for chunk in self.chunks(request_id))

    def end(self, request_id: int) -> Finished | Failed:
        """The one final answer of a request."""
        ends = [event for event in self.heard[request_id] if not isinstance(event, Chunk)]
        assert len(ends) == 1, f"{len(ends)} final answers to request {request_id}"
        assert self.heard[request_id][-1] is ends[0], "the final answer is the last"
        return ends[0]

    def finished(self, request_id: int) -> Finished:
        end = self.end(request_id)
        assert isinstance(end, Finished), end
        return end

    def failed(self, request_id: int) -> Failed:
        end = self.end(request_id)
        assert isinstance(end, Failed), end
        return end


def alone(prompt: str, n: int = 12, *, model: Model = hashes, n_ctx: int = 256, **fields: object) -> str:
    """What the model says to a prompt when nothing else goes on."""
    case = EngineCase(model, n_ctx=n_ctx)
    case.submit(1, prompt, n_predict=n, **fields)
    case.run()
    return case.text(1)
