"""A server whose model does everything right, so that a test can spoil one thing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from tests.server.cli.fake_server import FakeServer, Json, Reply

TEXT = "To pull a model, run puna pull with the name of the model."
COUNTS = {"prompt_eval_count": 7, "eval_duration": 1, "total_duration": 2, "load_duration": 1}


class FakeModel:
    """Routes for `FakeServer.answers`; the store and the memory are sets of names."""

    def __init__(self, capabilities: tuple[str, ...] = ("completion", "tools", "thinking")) -> None:
        self.capabilities = capabilities
        self.stored = {"pico:latest"}
        self.loaded: set[str] = set()

    def serve(self, server: FakeServer) -> None:
        routes: dict[str, Callable[[Any], Reply]] = {
            "GET /api/version": lambda _: Reply(json={"version": "1.2.3"}),
            "GET /api/tags": lambda _: Reply(json={"models": [entry(name) for name in sorted(self.stored)]}),
            "GET /api/ps": lambda _: Reply(json={"models": [entry(name) for name in sorted(self.loaded)]}),
            "POST /api/show": self.show,
            "POST /api/generate": self.generate,
            "POST /api/chat": self.chat,
            "POST /api/embed": self.embed,
            "POST /api/copy": self.copy,
            "POST /api/create": self.create,
            "DELETE /api/delete": self.delete,
            "POST *": lambda _: Reply(201),
        }
        server.answers |= routes

    def show(self, body: Json) -> Reply:
        name = full(body["model"] or body["name"])
        system = {"system": "Be brief."} if "derived" in name else {}
        facts = {"general.architecture": "llama"}
        return Reply(json={"model_info": facts, "modelfile": "FROM x", "capabilities": self.capabilities, **system})

    def generate(self, body: Json) -> Reply:
        name = full(body["model"])
        if name not in self.stored:
            return Reply(404, json={"error": f"model '{body['model']}' not found"})
        if not body["prompt"]:
            self.loaded.discard(name)
            return Reply(json={"done": True, "done_reason": "unload"})
        self.loaded.add(name)
        return answer(body, lambda text: {"response": text}, limit=2 if "derived" in name else None)

    def chat(self, body: Json) -> Reply:
        if body.get("tools"):
            call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
            return Reply(lines=[{"message": {"tool_calls": [call]}, "done": True, "done_reason": "stop"}])
        return answer(body, lambda text: {"message": {"content": text}})

    def embed(self, body: Json) -> Reply:
        angles = [len(text) / 10 for text in body["input"]]
        return Reply(json={"embeddings": [[math.cos(angle), math.sin(angle)] for angle in angles]})

    def copy(self, body: Json) -> Reply:
        self.stored.add(full(body["destination"]))
        return Reply()

    def create(self, body: Json) -> Reply:
        self.stored.add(full(body["model"]))
        return Reply(lines=[{"status": "writing manifest"}, {"status": "success"}])

    def delete(self, body: Json) -> Reply:
        self.stored.discard(full(body["name"]))
        return Reply()


def full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def entry(name: str) -> Json:
    return {"name": name, "digest": "0" * 64, "context_length": 256}


def answer(body: Json, wrap: Callable[[str], Json], *, limit: int | None = None) -> Reply:
    """The text, word by word, as far as the options let it go."""
    options = body.get("options") or {}
    text, reason = formatted(body.get("format")), "stop"
    tokens = [f" {word}" if i else word for i, word in enumerate(text.split(" "))]
    most = limit or options.get("num_predict", len(tokens))
    if len(tokens) > most:
        tokens, reason = tokens[:most], "length"
    for stop in options.get("stop", ()):
        said, separator, _ = "".join(tokens).partition(stop)
        tokens, reason = [said], "stop" if separator else reason
    events = [thought] if (thought := thinking(body, wrap)) else []
    events += [wrap(token) | logprobs(body, token) for token in tokens]
    last = wrap("") | {"done": True, "done_reason": reason, "eval_count": len(tokens), **COUNTS}
    if body.get("stream") is False:
        return Reply(json=wrap("".join(tokens)) | {key: value for key, value in last.items() if key not in wrap("")})
    return Reply(lines=[*events, last])


def formatted(form: Any) -> str:
    if form == "json":
        return json.dumps({"name": "Puna"})
    return json.dumps({"answer": "yes", "sure": True}) if form else TEXT


def thinking(body: Json, wrap: Callable[[str], Json]) -> Json | None:
    if not body.get("think"):
        return None
    event = wrap("")
    event.get("message", event)["thinking"] = "The user asks how to pull."
    return event


def logprobs(body: Json, token: str) -> Json:
    if not body.get("logprobs"):
        return {}
    rivals = [{"token": token, "logprob": -0.1}, {"token": "?", "logprob": -2.5}]
    return {"logprobs": [{"token": token, "logprob": -0.1, "top_logprobs": rivals[: body["top_logprobs"]]}]}
