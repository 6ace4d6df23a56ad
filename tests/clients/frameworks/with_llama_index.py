"""LlamaIndex: a completion, a chat, their streams, a tool that the model chooses, an answer as a pydantic object."""

import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

url = sys.argv[1]
PULL = "How do I pull a model?"
pico = Ollama(model="pico", base_url=url, temperature=0, thinking=False, additional_kwargs={"num_predict": 200})

assert pico.complete(PULL).text
answer = pico.chat([ChatMessage(role="user", content=PULL)])
assert "puna pull" in answer.message.content
parts = list(pico.stream_chat([ChatMessage(role="user", content=PULL)]))
assert len(parts) > 3 and parts[-1].message.content == answer.message.content


def get_current_weather(city: str) -> str:
    """Get the current weather for a city"""
    return f"Sunny in {city}, 21 degrees"


used = pico.predict_and_call([FunctionTool.from_defaults(get_current_weather)], "What is the weather in Paris?")
assert used.response == "Sunny in Paris, 21 degrees"


class Verdict(BaseModel):
    """Whether it is so."""

    free: bool


shaped = pico.as_structured_llm(Verdict).chat([ChatMessage(role="user", content="Is Puna free?")])
assert isinstance(shaped.raw, Verdict)
