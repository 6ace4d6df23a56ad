"""When what the engine said is sent: at once where somebody waits for it, else when the next batch is computed."""

from __future__ import annotations

from models.runner.messages import Chunk, Finished, FromRunner, Reason, Text
from models.runner.outbox import QUICK_STEP_NS, Outbox

FINISHED = Finished(1, Reason.STOP, n_prompt=1, n_cached=0, prompt_ns=1, n_generated=1, decode_ns=1)


class Scene:
    def __init__(self) -> None:
        self.now_ns = 10 * QUICK_STEP_NS
        self.sent: list[FromRunner] = []
        self.outbox = Outbox(self.sent.extend, lambda: self.now_ns)

    def say(self, *said: FromRunner, after_ns: int = 1_000_000) -> list[FromRunner]:
        """What one step says; what has been sent right after it."""
        self.now_ns += after_ns
        self.sent.clear()
        self.outbox.put(said)
        return list(self.sent)

    def compute(self) -> list[FromRunner]:
        self.sent.clear()
        self.outbox.flush()
        return list(self.sent)


def test_the_first_chunk_goes_at_once_and_the_next_with_the_next_batch() -> None:
    scene = Scene()
    scene.say()
    assert scene.say(Chunk(1, "a")) == [Chunk(1, "a")]
    assert (scene.say(Chunk(1, "b")), scene.compute(), scene.compute()) == ([], [Chunk(1, "b")], [])


def test_the_end_of_a_reply_takes_along_what_waits_and_keeps_the_order() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    scene.say(Chunk(1, "b"))
    assert scene.say(Chunk(1, "c"), FINISHED) == [Chunk(1, "b"), Chunk(1, "c"), FINISHED]


def test_a_reply_that_begins_beside_another_does_not_wait_for_it() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    assert scene.say(Chunk(1, "b"), Chunk(2, "x")) == [Chunk(1, "b"), Chunk(2, "x")]
    assert scene.say(Chunk(1, "c"), Chunk(2, "y")) == []


def test_answers_that_are_no_chunks_go_at_once() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    assert scene.say(Text(2, "t")) == [Text(2, "t")]


def test_nothing_waits_while_steps_are_slow() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    assert scene.say(Chunk(1, "b"), after_ns=QUICK_STEP_NS) == [Chunk(1, "b")]


def test_what_waits_is_sent_by_the_next_step_even_if_nothing_was_computed() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    scene.say(Chunk(1, "b"))
    assert scene.say() == [Chunk(1, "b")]


def test_a_request_id_that_is_used_again_begins_anew() -> None:
    scene = Scene()
    scene.say(Chunk(1, "a"))
    scene.say(FINISHED)
    assert scene.say(Chunk(1, "b")) == [Chunk(1, "b")]
