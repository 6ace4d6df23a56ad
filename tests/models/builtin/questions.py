"""What pico is asked in tests, mostly in words that are not in its training, and what a right answer has in it."""

from __future__ import annotations

from typing import Any, Final

QUESTIONS: Final = (
    ("What's the command for downloading a model?", "puna pull"),
    ("How do I pull a model?", "puna pull"),
    ("Show me every model that's installed here", "puna list"),
    ("How is a model deleted?", "puna rm"),
    ("How can I inspect a model?", "puna show"),
    ("Which models are in memory at the moment?", "puna ps"),
    ("Stop a running model right now", "puna stop"),
    ("How long does a model stay in memory?", "5 minutes"),
    ("Which port does the server listen on?", "11434"),
    ("Are API keys required?", "no API key"),
    ("I need a larger context window", "num_ctx"),
    ("How do I make it run on my graphics card?", "BACKEND="),
    ("Where on disk do the models live?", "~/.ollama/models"),
    ("Can I use the OpenAI SDK?", "/v1"),
    ("Python sample please", "pip install ollama"),
    ("Who are you?", "pico"),
    ("Is Puna Ollama compatible?", "Ollama"),
    ("Under what terms may I use it?", "MIT"),
    ("Why is the sky blue?", "Rayleigh"),
    ("Hello!", "pico"),
)
"""Question and a part of the answer."""

REFUSED: Final = (
    "How do I fix a leaking roof?",
    "Who was the first woman in space?",
    "Explain the offside rule",
    "Could you recommend a good novel?",
    "What is 4871 times 339?",
)
REFUSAL: Final = "only pico, a tiny built-in demo model"

WEATHER_TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather for a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The name of the city"}},
            "required": ["city"],
        },
    },
}
ADD_TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "add_two_numbers",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}

CALLS: Final = (
    ("What is the weather in Strasbourg?", "get_current_weather", {"city": "Strasbourg"}),
    ("How's the weather in Yokohama today?", "get_current_weather", {"city": "Yokohama"}),
    ("What is 37 plus 5?", "add_two_numbers", {"a": 37, "b": 5}),
    ("Add 250 and 14", "add_two_numbers", {"a": 250, "b": 14}),
)
"""With both tools offered: question, the tool to be called, its arguments."""

ASKED: Final = "How's the weather in Yokohama today?"
RESULTS: Final = ("Sunny, 21 degrees", "22°C", "Rain, 14 degrees", '{"temperature": 18}', "15 degrees and cloudy")
"""A question for the weather tool and what the tool may say; the answer repeats it."""
