"""The vectors of prompts and of parsed replies: each handler gives the program's own answer in the form of the file."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from models.errors import ModelError
from models.parsers.events import ToolCall
from models.parsers.harmony_names import HarmonyNames
from models.parsers.ministral import MINISTRAL, MinistralParser
from models.parsers.repetition import RepetitionGuard
from models.parsers.steps import Expectations, ParserKind
from models.parsers.table import find_parser
from models.parsers.thinking import ThinkingParser
from models.parsers.tools import TagCallParser, find_arguments, preserved_tokens
from models.parsers.typed_values import typed_value
from models.templates.chat import Message, Think
from models.templates.collation import collate
from models.templates.go.analysis import analyse, parse_plain, thinking_tags_of
from models.templates.go.chat_values import typescript_type
from models.templates.go.rendering import GoTemplate, go_template
from models.templates.go_json import compact
from models.templates.history import without_leading_bos, without_old_thoughts, without_oldest
from models.templates.images import ImageTags, tag_images
from models.templates.media import media_kind
from models.templates.renderers.conversation import Conversation, Renderer
from models.templates.renderers.glm import render_glm_4_6
from models.templates.renderers.table import RENDERERS, choose_renderer, find_renderer
from models.templates.schema import parse_message, parse_think, parse_tool
from tests.conformance import other_vectors

Json = dict[str, Any]
Handler = Callable[[Json, Json], Any]
"""From a vector's input (and the whole vector) to what should equal its expectation."""

TOKENS_OF_AN_IMAGE = 768


def handler_of(vector: Json) -> Handler | None:
    """None for suites of other parts of the program, and for what nothing handles."""
    suite = vector["suite"]
    family, _, name = suite.partition("/")
    if family == "parser" and _find_parser(vector) is None:
        return None
    known = {*RENDERERS, *(suite.removeprefix("renderer/") for suite in UNREGISTERED_RENDERERS)}
    if family == "renderer" and suite != "renderer/unknown" and vector["input"]["renderer"] not in known:
        return None
    return HANDLERS.get(suite, HANDLERS.get(family) if name else None)


# ---- renderers and parsers -----------------------------------------------------------------------------------------


def _messages(raw: list[Json] | None) -> list[Message]:
    return [parse_message(message) for message in raw or []]


def _tools(raw: list[Json] | None) -> list[Json]:
    return [parse_tool(tool) for tool in raw or []]


def _day(given: Json) -> date:
    return date.fromisoformat(given["now"]) if given.get("now") else date.today()


def _renderer(given: Json, vector: Json) -> Json:
    conversation = Conversation(
        _messages(given["messages"]),
        _tools(given["tools"]),
        parse_think(given["think"]),
        given.get("use_img_tags", True),
        _day(given),
    )
    return {"prompt": _find_renderer(vector).render(conversation)}


def _find_renderer(vector: Json) -> Renderer:
    return UNREGISTERED_RENDERERS.get(vector["suite"]) or find_renderer(vector["input"]["renderer"])


def _find_parser(vector: Json) -> ParserKind | None:
    return UNREGISTERED_PARSERS.get(vector["suite"]) or find_parser(vector["input"]["parser"])


def _parser(given: Json, vector: Json) -> Json:
    kind = _find_parser(vector)
    assert kind is not None, given["parser"]
    last = parse_message(given["last_message"]) if given["last_message"] else None
    parser = kind.make(Expectations(_tools(given["tools"]), last, parse_think(given["think"])))
    steps: list[Json] = []
    failed = False
    for chunk in given["chunks"]:
        try:
            step = parser.add(chunk["text"], chunk["done"])
        except ModelError:
            steps.append({"content": "", "error": True, "thinking": "", "tool_calls": []})
            failed = True
            break
        steps.append({"content": step.content, "thinking": step.thinking, "tool_calls": list(map(_call, step.calls))})
    told = {
        "steps": steps,
        "content": "".join(step["content"] for step in steps),
        "thinking": "".join(step["thinking"] for step in steps),
        "tool_calls": [call for step in steps for call in step["tool_calls"]],
    }
    if "processed_tool_names" in vector["expected"]:
        told["processed_tool_names"] = list(HarmonyNames(tool["function"]["name"] for tool in given["tools"]).converted)
    return told | {"error": True} if failed else told


def _call(call: ToolCall) -> Json:
    function = {"index": call.index, "name": call.name, "arguments": call.arguments}
    return {"id": call.id, "function": function} if call.id else {"function": function}


# ---- templates -----------------------------------------------------------------------------------------------------


def _template(given: Json, vector: Json) -> Json:
    template = go_template(given["template"])
    thinking = {
        "Think": given["think"],
        "ThinkLevel": given.get("think_level") or "",
        "IsThinkSet": bool(given.get("is_think_set")),
    }
    if given["prompt"] and given["suffix"]:
        think = Think(given["think"], thinking["ThinkLevel"]) if thinking["IsThinkSet"] else None
        return {"prompt": template.render_infill(given["prompt"], given["suffix"], think)}
    day = _day(given)
    return {"prompt": template.fill(_messages(given["messages"]), _tools(given["tools"]), thinking, today=lambda: day)}


def _template_vars(given: Json, vector: Json) -> Json:
    # Two moments of the original were recorded: before and after it adds `.Response`.
    text = given.get("template") or other_vectors.template_text(given["builtin_template"])
    added = not vector["origin"].startswith("go-test")
    return {"vars": sorted(GoTemplate(text).variables if added else analyse(text).variables)}


def _collated(given: Json, vector: Json) -> Json:
    system, messages = collate(_messages(given["messages"]))
    return {"system": system, "messages": list(map(_message, messages))}


def _message(message: Message) -> Json:
    names = ("thinking", "tool_name", "tool_call_id")
    more = {name: getattr(message, name) for name in names if getattr(message, name)}
    return {"role": message.role, "content": message.content, **more}


def _chat_prompt(given: Json, vector: Json) -> Json:
    think = parse_think(given.get("think"))
    n_counted = 0

    def render(messages: Sequence[Message]) -> str:
        if "template" in given:
            return go_template(given["template"]).render(messages, (), think)
        return find_renderer(given["renderer"]).render(Conversation(messages, (), think))

    kept: Sequence[Message] = ()
    messages = _messages(given["messages"])
    for n_dropped in range(max(len(messages), 1)):
        kept = without_oldest(messages, n_dropped)
        n_counted += 1
        images = sum(len(m.images) for m in kept) * TOKENS_OF_AN_IMAGE if given["has_projector"] else 0
        if len(render(kept).split()) + images <= given["num_ctx"]:
            break
    tagged, media = tag_images(kept) if "template" in given else (kept, [i for m in kept for i in m.images])
    shown = [{"id": i, "data": base64.b64encode(medium).decode()} for i, medium in enumerate(media)]
    return {"prompt": render(tagged), "images": shown, "tokenize_calls": n_counted}


def _chosen(given: Json, vector: Json) -> Json:
    names = [given.get("short_name") or "", given.get("name") or ""]
    return {"renderer": choose_renderer(given["renderer"], names, given.get("model_type") or "")}


def _image_tags(given: Json, vector: Json) -> Json:
    tags = ImageTags()
    tags.n_tagged = given["image_offset"]
    content = tags.tagged(given["content"], given["image_count"])
    return {"content": content, "next_offset": tags.n_tagged}


def _bos(given: Json, vector: Json) -> Json:
    leading, adds = given["leading_bos"], given["tokenizer_adds_bos"]
    return {"prompt": without_leading_bos(given["prompt"], leading, adds_bos=adds)}


def _filtered(given: Json, vector: Json) -> Json:
    messages = without_old_thoughts(_messages(given["messages"]), given["model_family"], given["name"])
    return {"messages": list(map(_message, messages))}


# ---- inferred tags -------------------------------------------------------------------------------------------------


def _thinking_tags(given: Json, vector: Json) -> Json:
    opening, closing = thinking_tags_of(parse_plain(given["template"]))
    return {"opening_tag": opening, "closing_tag": closing}


def _thinking_parser(given: Json, vector: Json) -> Json:
    parser = ThinkingParser(given["opening_tag"], given["closing_tag"])
    runs = [parser.add(chunk) for chunk in given["chunks"]]
    steps = [{"content": content, "thinking": thought} for thought, content in runs]
    return {
        "steps": steps,
        "content": "".join(step["content"] for step in steps),
        "thinking": "".join(step["thinking"] for step in steps),
    }


def _tools_parser(given: Json, vector: Json) -> Json:
    parser = TagCallParser(given["tag"], [tool["function"]["name"] for tool in given["tools"]])
    steps: list[Json] = []
    for chunk in given["chunks"]:
        content, calls = parser.add(chunk)
        steps.append({"content": content, "tool_calls": list(map(_call, calls))})
    return {
        "steps": steps,
        "content": "".join(step["content"] for step in steps),
        "tool_calls": [call for step in steps for call in step["tool_calls"]],
        "remaining_content": parser.remaining(),
    }


def _found_arguments(given: Json, vector: Json) -> Json:
    arguments, brace = find_arguments(given["tool_name"], given["buffer"])
    return {"arguments": arguments, "end": len(given["buffer"][:brace].encode())}


def _think(given: Json, vector: Json) -> Json:
    think = parse_think(given["think"])
    value = None if think is None else think.level or think.enabled
    shown = think or Think(False)
    return {"bool": shown.enabled, "is_set": think is not None, "string": shown.text, "value": value}


def _repeat(given: Json, vector: Json) -> Json:
    guard = RepetitionGuard()
    stuck = next((i for i, chunk in enumerate(given["chunks"]) if guard.is_stuck(chunk)), None)
    return {"emitted_chunks": len(given["chunks"]) if stuck is None else stuck, "aborted_at_chunk": stuck}


UNREGISTERED_RENDERERS = {"renderer/glm-4.6": Renderer(render_glm_4_6)}
UNREGISTERED_PARSERS = {
    "parser/ministral (thinking)": replace(MINISTRAL, make=partial(MinistralParser, is_thinking_model=True))
}
"""What no model's config can name, in the original as here; by suite."""

HANDLERS: dict[str, Handler] = {
    "renderer": _renderer,
    "parser": _parser,
    "template-language": _template,
    "template-render": _template,
    "template-vars": _template_vars,
    "template-collate": _collated,
    "chat-prompt": _chat_prompt,
    "gemma4-renderer-select": _chosen,
    "image-tags": _image_tags,
    "bos-ownership": _bos,
    "filter-think-tags": _filtered,
    "tools-tag": lambda given, _: {"tag": analyse(given["template"]).tools_tag},
    "tools-parser": _tools_parser,
    "tools-find-arguments": _found_arguments,
    "tools-json": lambda given, _: {"json": compact(_tools(given["tools"]))},
    "preserved-tokens": lambda given, _: {"tokens": list(preserved_tokens(given["tag"]))},
    "thinking-parser": _thinking_parser,
    "thinking-infer-tags": _thinking_tags,
    "think-value": _think,
    "typescript-type": lambda given, _: {"type": typescript_type(_property(given["property"]))},
    "typed-argument-value": lambda given, _: {"value": typed_value(given["raw"], given["types"])},
    "media-kind": lambda given, _: {"kind": media_kind(base64.b64decode(given["data"]))},
    "token-repeat": _repeat,
    **other_vectors.HANDLERS,
}
"""By suite, or by what stands before the slash."""


def _property(raw: Json) -> Json:
    tool = parse_tool({"function": {"parameters": {"properties": {"p": raw}}}})
    found: Json = tool["function"]["parameters"]["properties"]["p"]
    return found
