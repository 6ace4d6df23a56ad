"""LiteLLM: its providers for Ollama, and the OpenAI one: completion, stream, tool, JSON, embeddings, long inputs."""

import json
import sys

import litellm

url = sys.argv[1]
SAID = [{"role": "user", "content": "How do I pull a model?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

for model, base in (("ollama/pico", url), ("ollama_chat/pico", url), ("openai/pico", f"{url}/v1")):
    common = {"model": model, "api_base": base, "api_key": "unused", "temperature": 0, "max_tokens": 60}
    answer = litellm.completion(messages=SAID, **common)
    text = answer.choices[0].message.content
    assert text and answer.usage.completion_tokens > 3, model
    parts = list(litellm.completion(messages=SAID, stream=True, **common))
    assert len(parts) > 3 and "".join(part.choices[0].delta.content or "" for part in parts) == text, model
    shaped = litellm.completion(messages=SAID, response_format={"type": "json_object"}, **common)
    assert shaped.choices[0].message.content.startswith("{"), model

for model, base in (("ollama_chat/pico", url), ("openai/pico", f"{url}/v1")):
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = litellm.completion(
        model=model, api_base=base, api_key="unused", messages=asked, tools=[WEATHER], temperature=0
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_current_weather" and json.loads(call.function.arguments) == {"city": "Paris"}, (
        model
    )

small = {"num_ctx": 256, "truncate": True}
cut = {"model": "openai/pico", "api_base": f"{url}/v1", "api_key": "unused", "max_tokens": 5, "extra_body": small}
long_chat = [{"role": "user", "content": "word " * 2000}, {"role": "assistant", "content": "Yes."}, *SAID]
answer = litellm.completion(messages=long_chat, **cut)
assert answer.usage.prompt_tokens <= 256 and answer.choices[0].finish_reason == "length"
parts = list(litellm.completion(messages=long_chat, stream=True, **cut))
assert parts[-1].choices[0].finish_reason == "length"

vectors = litellm.embedding(model="ollama/bert", api_base=url, input=["cat", "dog"])
assert len(vectors.data) == 2
vectors = litellm.embedding(
    model="openai/bert", api_base=f"{url}/v1", api_key="unused", input=["cat", "word " * 2000], encoding_format="float"
)
assert len(vectors.data) == 2
