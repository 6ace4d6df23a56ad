"""What the scripted test models say: a trigger word in the prompt decides the reply.

Pieces are single tokens and must be unique over the whole vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Script:
    """One scripted reply: after `trigger` was seen in the prompt, say `pieces`, then end (or start again)."""

    name: str
    trigger: str | None
    pieces: tuple[str | bytes, ...]
    loop: bool = False
    gain: float = 1.0


def _s(name: str, trigger: str | None, *pieces: str | bytes, loop: bool = False, gain: float = 1.0) -> Script:
    return Script(name, trigger, pieces, loop, gain)


# fmt: off
SCRIPTS = (
    _s("default", None, "Hello", " there,", " how", " can I", " help", " you?"),
    _s("forecast", "forecast", "<tool_call>\n", '{"name":', ' "get_weather",', ' "arguments":', ' {"city":', ' "Paris"',
       "}}\n", "</tool_call>"),
    _s("both", "both", "Let me", " check.", "\n<tool_call>", '\n{"name": "get_weather", "argu',
       'ments": {"city": "Rome"}}', "\n</tool_call>", "\n<tool_call>\n", '{"name": "add", ', '"arguments": {"a": 1,',
       ' "b": 2.5}}', "\n</tool_call>\n"),
    _s("ponder", "ponder", "<think>", "\nThe user", " wants me", " to ponder.", "\n</think>",
       "\n\nIt is", " forty", "-two."),
    _s("plan", "plan", "<think>\nI should", " call a tool.", "\n</think>\n", "<tool_call>\n{",
       '"name": "get_weather", ', '"arguments": {"city": "Oslo"}}', "\n</tool_call> "),
    _s("count", "count", " one", " two", " three", " four", " five", " six", " seven", " eight", " nine",
       " ten", loop=True),
    _s("repeat", "repeat", " again", loop=True),
    _s("json", "json", '{"name":"Ada"', ',"age":', "36}"),
    _s("unicode", "unicode", b"Gr\xc3", b"\xbc\xc3", b"\x9fe ", b"\xf0\x9f", b"\x98\x80", b" ok\xe2",
       b"\x80\xa6", " e\u0301."),
    _s("markup", "markup", "<b>bold</b>", ' & "quo', 'ted"', " \\ back", "\u2028 line", "\ttab\r\n", "end\x7f"),
    _s("marker", "marker", "alpha E", "ND", " beta", " STOP", " gamma"),
    _s("silence", "silence"),
    _s("broken", "broken", "<tool_call>", '{"name": "get_weather"', ', "argum', "</tool_call"),
    _s("blank", "blank", "\n\n ", "padded", " answer", " \n"),
    _s("code", "code", "```python\n", "print(1)", "\n```"),
    _s("muse", "muse", "Well,", " <think>no", "</think> done."),
    _s("unclosed", "unclosed", "<think>open", " thought", " without end"),
    _s("brace", "brace", '{"name": "add",', ' "parameters":', ' {"a": 2, "b": 3}}'),
    _s("dice", "dice", "rolled"),
    _s("walk", "walk", "->"),
    _s("infill", "<MID>", "    return", " a +", " b\n", gain=1.5),
    _s("result", "<tool_response>", "Sunny,", " 21 degrees.", gain=2.0),
    _s("quiet", "[no-think]", "No thoughts,", " just words.", gain=1.5),
    _s("picture", "<picture>", "A tiny", " picture.", gain=1.5),  # images look like this trigger, see write_projector
    _s("adapted", None, "Adapted", " reply."),  # only the LoRA adapter says this
)
# fmt: on

# After the last piece of the script: the tokens that may follow and their log-probabilities, and what comes then.
DISTRIBUTIONS: dict[str, tuple[dict[str, float], str | None]] = {
    "rolled": (
        {" ace": -0.916, " deuce": -1.386, " trey": -1.897, " cater": -2.303, " cinque": -2.813, " sice": -3.219},
        None,
    ),
    "->": ({" ay": -0.5, " bee": -1.0, " cee": -1.5}, "->"),
}
