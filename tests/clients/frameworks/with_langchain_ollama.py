"""LangChain: a chat, its stream, a bound tool, an answer as a pydantic object, thoughts, embeddings."""

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from pydantic import BaseModel

url = sys.argv[1]
PULL = "How do I pull a model?"
chat = ChatOllama(
    model="pico", base_url=url, temperature=0, num_predict=200, reasoning=False, validate_model_on_init=True
)

answer = chat.invoke(PULL)
assert "puna pull" in answer.text and answer.usage_metadata["output_tokens"] > 3
parts = list(chat.stream(PULL))
assert len(parts) > 3 and "".join(part.text for part in parts) == answer.text


@tool
def get_current_weather(city: str) -> str:
    """Get the current weather for a city"""
    return "Rain, 14 degrees"


with_tool = chat.bind_tools([get_current_weather])
messages = [HumanMessage("What is the weather in Paris?")]
first = with_tool.invoke(messages)
(call,) = first.tool_calls
assert (call["name"], call["args"]) == ("get_current_weather", {"city": "Paris"})
messages += [first, ToolMessage(get_current_weather.invoke(call["args"]), tool_call_id=call["id"])]
assert "Rain" in with_tool.invoke(messages).text


class Verdict(BaseModel):
    free: bool


assert isinstance(chat.with_structured_output(Verdict).invoke("Is Puna free?"), Verdict)

thinker = ChatOllama(model="pico", base_url=url, temperature=0, num_predict=200, reasoning=True)
assert thinker.invoke(PULL).additional_kwargs["reasoning_content"]

assert OllamaLLM(model="pico", base_url=url, temperature=0, num_predict=200, reasoning=False).invoke(PULL)

vectors = OllamaEmbeddings(model="bert", base_url=url).embed_documents(["cat", "dog"])
assert len(vectors) == 2 and len(vectors[0]) == len(vectors[1]) > 0
