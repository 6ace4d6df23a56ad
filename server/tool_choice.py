"""Whether a reply calls tools, where the client wants a say in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.errors import BadRequest, Unsupported
from models.parsers.call_grammar import call_grammar
from models.runner.settings import Constraint
from models.templates.chat import Tool
from server.prompt_writers import Prompt
from server.requests import ChatRequest, ToolUse


def check_tool_choice(request: ChatRequest) -> None:
    """Raises: BadRequest for a demand that no reply could meet.

    A format is that of an answer, and a call is none; a grammar or an expression is that of the whole reply.
    """
    choice = request.tool_choice
    if choice.use is not ToolUse.REQUIRED:
        return
    if not request.tools:
        raise BadRequest("tool_choice demands a tool call, but the request declares no tools")
    if not _wanted_tools(request):
        raise BadRequest(f"tool_choice demands the tool '{choice.name}', which the request does not declare")
    if request.grammar or request.regex:
        other = "grammar" if request.grammar else "regex"
        raise BadRequest(f"tool_choice demands a tool call, which cannot be combined with {other}")


def offered_tools(request: ChatRequest) -> tuple[Tool, ...]:
    """The tools that the model is told of."""
    return () if request.tool_choice.use is ToolUse.NONE else request.tools


def required_call(request: ChatRequest, prompt: Prompt) -> Constraint:
    """What a reply must match that has to be a call, after thoughts, if any. Raises: Unsupported."""
    if prompt.calls is None:
        raise Unsupported("tool_choice cannot be enforced: it is not known how this model writes tool calls")
    many, thinks = request.parallel_tool_calls and not request.tool_choice.name, prompt.thought is not None
    tools = [_told(tool, prompt.told_names) for tool in _wanted_tools(request)]
    grammar = call_grammar(prompt.calls, tools, many=many, thinks=thinks)
    thought = None if grammar.has_thoughts else prompt.thought
    return Constraint("calls", grammar.text, thought, grammar.tags)


def _wanted_tools(request: ChatRequest) -> Sequence[Tool]:
    name = request.tool_choice.name
    return [tool for tool in request.tools if not name or tool["function"]["name"] == name]


def _told(tool: Tool, names: Mapping[str, str]) -> Tool:
    """The tool as the model knows it."""
    function = tool["function"]
    return {**tool, "function": {**function, "name": names.get(function["name"], function["name"])}}
