"""Vectors of what surrounds prompts and parsers: limits and ends of generations, formats, the pieces of harmony.

Each handler gives the program's own answer in the form of the file. Where the original speaks to llama-server, whose
words a vector has (`stop_type`, `response_format`), the words stand here and the decision in the program.
"""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.capabilities import Capability, ChatTemplate, GoTemplate, PromptSource, choose_prompt_source
from models.capabilities import prefers_chat_template as prefers
from models.create.known_templates import detect_template, known_template
from models.engine.context_end import ContextRules, fit_prompt, shortened_size
from models.engine.detokenizer import unfinished_size
from models.options import predict_limit
from models.parsers.call_blocks import unfinished_arguments
from models.parsers.harmony import Edge, Event, HarmonyFraming, Header, begun_message
from models.parsers.harmony_names import HarmonyNames
from models.parsers.json_blocks import parsed
from models.parsers.steps import Expectations
from models.runner.messages import Reason
from models.templates.go.rendering import go_template
from models.templates.media import audio_format, image_type
from models.templates.native import MEDIA_MARKER, NativeModel, shaped_message, thinking_arguments
from models.templates.probe import TemplateTraits
from models.templates.schema import parse_message, parse_think, parse_tool
from server.formats import parse_format
from server.reply_reader import DONE_REASONS
from server.settings import Settings

Json = dict[str, Any]


# ---- limits and ends -----------------------------------------------------------------------------------------------


def predicted(given: Json, vector: Json) -> Json:
    """`num-predict`: n is what was asked for, m the context."""
    return {"n": predict_limit(given["n"], given["m"]) or 0}


def fitted(given: Json, vector: Json) -> Json:
    """`prompt-shift`: tokens 0, 1, 2, … of a prompt with enough bytes."""
    n_ctx = given["num_ctx"]
    rules = ContextRules(n_ctx, n_ctx, shift=given["context_shift"], adds_bos=given["tokenizer_adds_bos"])
    tokens = np.arange(given["token_count"], dtype=np.int32)
    return {"tokens": fit_prompt(tokens, n_ctx, n_keep=given["num_keep"], truncate=True, rules=rules).tolist()}


def shortened(given: Json, vector: Json) -> Json:
    """`context-shift-limit`: n is the context, m what is kept of the beginning."""
    return {"n": shortened_size(given["n"], given["m"])}


def released(given: Json, vector: Json) -> Json:
    """`utf8-holdback`: how many bytes belong to whole characters."""
    text = base64.b64decode(given["buffer_base64"])
    return {"flush_bytes": len(text) - unfinished_size(text)}


def done(given: Json, vector: Json) -> Json:
    """`done-reason`: llama-server's word for an end, as the runner's reason."""
    words = {"limit": Reason.LIMIT} if given["endpoint"] == "completion" else {"length": Reason.LIMIT}
    word = given.get("stop_type", given.get("finish_reason"))
    reason = DONE_REASONS[words.get(str(word), Reason.STOP)]
    return {"done_reason": reason and str(reason)}


# ---- requests ------------------------------------------------------------------------------------------------------


def response_format(given: Json, vector: Json) -> Json:
    """`native-response-format`: the constraint, in llama-server's form."""
    raw = json.dumps(given["format"], separators=(",", ":"), ensure_ascii=False).encode()
    constraint = parse_format(raw)
    if constraint is None:
        return {"response_format": None}
    if constraint.kind == "json":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": "schema", "schema": json.loads(constraint.text)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def template_kwargs(given: Json, vector: Json) -> Json:
    """`native-template-kwargs`."""
    return {"kwargs": thinking_arguments(parse_think(given["think"])) or None}


def prompt_source(given: Json, vector: Json) -> Json:
    """`template-source-select`."""
    go = None if given["go_template"] is None else GoTemplate.parse(given["go_template"])
    chat = None if given["chat_template"] is None else ChatTemplate(given["chat_template"])
    config = SimpleNamespace(
        model_format=given.get("model_format", "gguf"),
        model_family=given.get("model_family", ""),
        renderer=given.get("renderer", ""),
        parser=given.get("parser", ""),
        capabilities=(),
    )
    environ = {} if given["env"] is None else {"OLLAMA_GO_TEMPLATE": given["env"]}
    asked = Settings.from_env(environ).go_template
    source = choose_prompt_source(config, go, chat, go_templates=asked)
    is_compared = source in (PromptSource.GO_TEMPLATE, PromptSource.CHAT_TEMPLATE) and not config.parser
    return {
        "source": str(source),
        "mode": "native" if source.is_native else "rendered",
        "prefer_chat_template": bool(asked is None and is_compared and go and chat and prefers(go, chat)),
        "go_template_capabilities": _listed(go),
        "go_tool_round_trip": go is not None and go.has_tool_round_trip,
        "chat_template_capabilities": _listed(chat),
        "chat_tool_round_trip": chat is not None and chat.has_tool_round_trip,
    }


def _listed(template: GoTemplate | ChatTemplate | None) -> list[str]:
    found = template.capabilities if template else frozenset[Capability]()
    return [str(c) for c in (Capability.TOOLS, Capability.INSERT, Capability.THINKING) if c in found]


# ---- what goes to llama-server and comes from it ---------------------------------------------------------------------

_TAKES_ANYTHING = TemplateTraits(
    takes_text=True,
    takes_parts=True,
    has_system_role=True,
    describes_tools=True,
    shows_calls=True,
    takes_objects=False,
    wants_null_content=False,
    reasoning=None,
    calls=None,
)


def native_message(given: Json, vector: Json) -> Json:
    """`native-message`: the message as a template sees it, its media as the parts that llama-server takes."""
    message = parse_message(given["message"])
    shaped = shaped_message(message, NativeModel(takes_media=True), _TAKES_ANYTHING)
    shaped["role"] = message.role  # that a developer speaks as the system does is llama-server's doing
    for call, made in zip(message.tool_calls, shaped.get("tool_calls", ()), strict=True):
        made["index"] = call.index
    if message.images:
        text = shaped["content"].replace(MEDIA_MARKER, "", len(message.images))
        words = [{"type": "text", "text": text}] if text else []
        shaped["content"] = [*words, *map(_media_part, message.images)]
    return {"message": shaped}


def _media_part(data: bytes) -> Json:
    encoded = base64.b64encode(data).decode()
    if sound := audio_format(data):
        return {"type": "input_audio", "input_audio": {"data": encoded, "format": sound}}
    url = f"data:{image_type(data) or 'image/jpeg'};base64,{encoded}"
    return {"type": "image_url", "image_url": {"url": url}}


def native_calls(given: Json, vector: Json) -> Json:
    """`native-tool-calls`: parts of calls as llama-server sends them; what their arguments come to is ours."""
    parts: dict[int, Json] = {}
    for delta in given["deltas"]:
        part = parts.setdefault(delta["index"], {"id": "", "name": "", "arguments": ""})
        for key in part:
            part[key] += delta.get(key) or ""
    return {"tool_calls": [_native_call(index, part) for index, part in sorted(parts.items())]}


def _native_call(index: int, part: Json) -> Json:
    arguments = parsed(part["arguments"].strip())
    if not isinstance(arguments, dict):
        raise unfinished_arguments(part["name"])
    call = {"function": {"index": index, "name": part["name"], "arguments": arguments}}
    return {"id": part["id"], **call} if part["id"] else call


# ---- harmony -------------------------------------------------------------------------------------------------------


def harmony_events(given: Json, vector: Json) -> Json:
    """`harmony-events`: what the framing tells of each chunk."""
    last = parse_message(given["last_message"]) if given["last_message"] else None
    begun = "" if given["start"] == "none" else begun_message(Expectations(last_message=last))
    framing = HarmonyFraming(begun)
    return {"events_per_chunk": [list(map(_event, framing.feed(chunk))) for chunk in given["chunks"]]}


def _event(event: Event) -> Json:
    match event:
        case Header():
            return {"event": "header"} | _header(event)
        case str():
            return {"event": "content", "content": event}
        case Edge():
            return {"event": "message_start" if event is Edge.START else "message_end"}


def _header(header: Header) -> Json:
    return {"role": header.role, "channel": header.channel, "recipient": header.recipient}


# ---- the templates that Ollama ships ---------------------------------------------------------------------------------


def built_in(given: Json, vector: Json) -> Json:
    """`template-builtin`: the prompt that a template of this name writes."""
    tools = [parse_tool(tool) for tool in given.get("tools") or ()]
    messages = [parse_message(message) for message in given["messages"]]
    return {"prompt": go_template(template_text(given["builtin_template"])).render(messages, tools)}


def template_text(name: str) -> str:
    """The text of a template by its name."""
    known = known_template(name)
    assert known is not None, name
    return known.template


def detected(given: Json, vector: Json) -> Json:
    """`template-named`: the template that stands for this chat template."""
    found = detect_template(given["jinja"])
    return {"name": found.name, "stop": list(found.stop)} if found else {"error": "no matching template found"}


HANDLERS = {
    "native-message": native_message,
    "native-tool-calls": native_calls,
    "template-builtin": built_in,
    "template-named": detected,
    "num-predict": predicted,
    "prompt-shift": fitted,
    "context-shift-limit": shortened,
    "utf8-holdback": released,
    "done-reason": done,
    "native-response-format": response_format,
    "native-template-kwargs": template_kwargs,
    "template-source-select": prompt_source,
    "harmony-events": harmony_events,
    "harmony-header": lambda given, _: _header(Header.parse(given["header"])),
    "harmony-function-names": lambda given, _: {"converted": list(HarmonyNames(given["names"]).converted)},
}
