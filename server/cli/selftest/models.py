"""Checks of the server around the model: names, store, memory, cancellation, embeddings."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from server.cli.errors import StatusError
from server.cli.selftest.checking import GREEDY, Failed, Reply, Subject, expect
from server.cli.selftest.embedder import make_embedder
from server.cli.selftest.text import QUESTION

COPY = "puna-selftest-copy"
DERIVED = "puna-selftest-derived"
EMBEDDER = "puna-selftest-embedder"
N_PARALLEL = 4
WAIT_S = 30.0


def version(subject: Subject) -> str:
    """The server says which version it is."""
    text = subject.client.version()
    expect(text.count(".") == 2, "a version such as 1.2.3", text)
    return text


def show(subject: Subject) -> str:
    """The model is described."""
    info = subject.client.show(subject.model)
    architecture = (info.get("model_info") or {}).get("general.architecture")
    expect(bool(architecture), "an architecture", info.get("model_info"))
    expect(bool(info.get("modelfile")), "a Modelfile", info.get("modelfile"))
    return f"{architecture}, {', '.join(sorted(subject.capabilities))}"


def listing(subject: Subject) -> str:
    """The model is in the list, with size and digest."""
    models = {model["name"]: model for model in subject.client.list_models()}
    name = subject.model if ":" in subject.model else f"{subject.model}:latest"
    expect(name in models, name, sorted(models))
    expect(len(models[name]["digest"]) == 64, "a digest of 64 digits", models[name]["digest"])
    return f"{len(models)} models"


def unknown_model(subject: Subject) -> str:
    """A model that does not exist is an error with its status, not an answer."""
    try:
        Reply.of(subject.client.generate("puna-selftest-no-such-model", "x"))
    except StatusError as error:
        expect(error.status == 404, "status 404", error.status)
        return str(error)
    raise Failed("an error", "an answer")


def embeddings(subject: Subject) -> str:
    """Equal texts have equal vectors of length 1, different texts different ones."""
    texts = ["How do I pull a model?", "Bananas are yellow", "How do I pull a model?"]
    with _embedding_model(subject) as model:
        vectors = subject.client.embed(model, texts)["embeddings"]
    expect(len(vectors) == 3, "3 vectors", len(vectors))
    for vector in vectors:
        norm = math.sqrt(math.fsum(x * x for x in vector))
        expect(abs(norm - 1) < 1e-3, "a vector of length 1", norm)
    same, other = _similarity(vectors[0], vectors[2]), _similarity(vectors[0], vectors[1])
    expect(same > 0.999, "a similarity of 1 for the same text", same)
    expect(other < same, "less for another text", other)
    return f"{len(vectors[0])} dimensions, similarity of two texts {other:.2f}"


@contextmanager
def _embedding_model(subject: Subject) -> Iterator[str]:
    """The model itself, or one that is made from a file for the check and removed again. Raises: CliError."""
    if "embedding" in subject.capabilities:
        yield subject.model
        return
    file = make_embedder()
    digest = f"sha256:{hashlib.sha256(file).hexdigest()}"
    subject.client.upload_blob(digest, [file])
    for _ in subject.client.create({"model": EMBEDDER, "files": {"embedder.gguf": digest}}):
        pass
    try:
        yield EMBEDDER
    finally:
        _remove(subject, EMBEDDER)


def _similarity(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def parallel(subject: Subject) -> str:
    """Several requests at once are all answered."""

    def ask(_: int) -> int:
        return int(subject.generate(QUESTION, options={"num_predict": 16}).last["eval_count"])

    with ThreadPoolExecutor(N_PARALLEL) as pool:
        counts = list(pool.map(ask, range(N_PARALLEL)))
    expect(all(counts), f"{N_PARALLEL} answers", counts)
    return f"{N_PARALLEL} requests, {sum(counts)} tokens"


def cancel(subject: Subject) -> str:
    """A client that leaves ends its generation, and the next request is answered at once."""
    endless = GREEDY | {"num_predict": 100_000, "temperature": 2.0, "repeat_penalty": 1.5}
    events = subject.client.generate(subject.model, QUESTION, options=endless, think=_no_thinking(subject))
    next(events)
    events.close()  # type: ignore[attr-defined]  # the client's streams are generators
    began = time.monotonic()
    subject.generate(QUESTION, options={"num_predict": 2})
    waited = time.monotonic() - began
    expect(waited < WAIT_S, f"an answer within {WAIT_S:.0f} s", f"{waited:.1f} s")
    return f"next answer after {waited * 1000:.0f} ms"


def _no_thinking(subject: Subject) -> bool | None:
    return False if "thinking" in subject.capabilities else None


def loaded(subject: Subject) -> str:
    """A model that was used is in memory, and stays as long as it is told to."""
    subject.generate(QUESTION, options={"num_predict": 1}, keep_alive="10m")
    entry = _running(subject)
    if entry is None:
        raise Failed(f"{subject.model} among the running models", subject.client.running_models())
    expect(entry["context_length"] > 0, "a context length", entry["context_length"])
    return f"context of {entry['context_length']} tokens"


def unload(subject: Subject) -> str:
    """A keep-alive of zero takes the model out of memory; the next request loads it again."""
    reply = Reply.of(subject.client.generate(subject.model, keep_alive="0s"))
    expect(reply.last.get("done_reason") == "unload", "done_reason unload", reply.last)
    _wait_until(lambda: _running(subject) is None, "the model to be gone from memory")
    load = subject.generate(QUESTION, options={"num_predict": 1}).last
    return f"loads in {load.get('load_duration', 0) / 1e6:.0f} ms"


def _running(subject: Subject) -> dict[str, int] | None:
    name = subject.model if ":" in subject.model else f"{subject.model}:latest"
    return next((entry for entry in subject.client.running_models() if entry["name"] == name), None)


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > end:
            raise Failed(what, f"nothing for {WAIT_S:.0f} s")
        time.sleep(0.05)


def copy_and_delete(subject: Subject) -> str:
    """A copy is listed and can be removed again."""
    subject.client.copy(subject.model, COPY)
    names = [model["name"] for model in subject.client.list_models()]
    expect(f"{COPY}:latest" in names, "the copy in the list", names)
    subject.client.delete(COPY)
    names = [model["name"] for model in subject.client.list_models()]
    expect(f"{COPY}:latest" not in names, "the copy gone from the list", names)
    return COPY


def create(subject: Subject) -> str:
    """A model made from another one has what was added, and answers."""
    request = {"model": DERIVED, "from": subject.model, "system": "Be brief.", "parameters": {"num_predict": 2}}
    try:
        statuses = [event.get("status") for event in subject.client.create(request)]
        expect(statuses[-1:] == ["success"], "success at the end", statuses[-1:])
        expect(subject.client.show(DERIVED).get("system") == "Be brief.", "the system message", None)
        reply = Reply.of(subject.client.generate(DERIVED, QUESTION))
        expect(reply.last.get("eval_count", 0) <= 2, "at most 2 tokens", reply.last.get("eval_count"))
    finally:
        _remove(subject, DERIVED)
    return f"{len(statuses)} steps"


def _remove(subject: Subject, name: str) -> None:
    """Out of memory and out of the store; what was never made is not missed. Raises: CliError."""
    try:
        Reply.of(subject.client.generate(name, keep_alive="0s"))
        subject.client.delete(name)
    except StatusError as error:
        if error.status != 404:
            raise
