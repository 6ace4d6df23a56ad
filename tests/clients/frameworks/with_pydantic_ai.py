"""Pydantic AI: an agent that answers, streams, uses a tool, gives a typed result, and has a prompt cut."""

import asyncio
import sys
from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.providers.ollama import OllamaProvider

PULL = "How do I pull a model?"
model = OllamaModel("pico", provider=OllamaProvider(base_url=f"{sys.argv[1]}/v1"))
SETTINGS = {"temperature": 0, "openai_reasoning_effort": "none"}


class Verdict(BaseModel):
    verdict: Literal["yes", "no"]


async def main() -> None:
    agent = Agent(model, model_settings=SETTINGS)
    answer = await agent.run(PULL)
    assert "puna pull" in answer.output and answer.usage.output_tokens > 3
    async with agent.run_stream(PULL) as stream:
        assert await stream.get_output() == answer.output

    small = SETTINGS | {"max_tokens": 5, "extra_body": {"num_ctx": 256, "truncate": True}}
    cut = await agent.run("word " * 2000, model_settings=small)
    assert cut.usage.input_tokens <= 256 and cut.usage.output_tokens <= 5
    async with agent.run_stream("word " * 2000, model_settings=small) as stream:
        await stream.get_output()

    asked: list[str] = []
    weather = Agent(model, model_settings=SETTINGS)

    @weather.tool_plain
    def get_current_weather(city: str) -> str:
        """Get the current weather for a city"""
        asked.append(city)
        return "Rain, 14 degrees"

    assert "Rain" in (await weather.run("What is the weather in Paris?")).output
    assert asked == ["Paris"]

    typed = Agent(model, output_type=NativeOutput(Verdict), model_settings=SETTINGS)
    assert isinstance((await typed.run("Is Puna free?")).output, Verdict)


asyncio.run(main())
