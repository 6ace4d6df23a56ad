"""What goes beyond Ollama under `/v1`, through the libraries of OpenAI and Anthropic, on scripted models."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tests.scripted_models import ADD, GREETING, WEATHER, said

pytestmark = pytest.mark.model


# ---- choices -------------------------------------------------------------------------------------------------------


def test_several_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("hi"), n=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3, 4]
    assert {choice.message.content for choice in answer.choices} == {GREETING}
    assert answer.usage is not None and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (18, 35)


def test_several_choices_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="chat", messages=said("hi"), n=3, stream_options={"include_usage": True}
    ) as stream:
        answer = stream.get_final_completion()
    assert [choice.message.content for choice in answer.choices] == [GREETING] * 3
    assert answer.usage is not None and answer.usage.completion_tokens == 21


def test_a_limit_by_its_newer_name(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("count"), max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.completion_tokens == 3


# ---- tools ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["left", "right"])
def test_a_call_that_is_demanded_is_made(client: openai.OpenAI, name: str) -> None:
    choice: Any = {"type": "function", "function": {"name": name}}
    steps: Any = {"type": "object", "properties": {"steps": {"enum": [1, 2]}}, "required": ["steps"]}
    tools: Any = [{"type": "function", "function": {"name": n, "parameters": steps}} for n in ("left", "right")]
    answer = client.chat.completions.create(
        model="agent", messages=said("forecast"), tools=tools, tool_choice=choice, max_tokens=200
    )
    assert [call.function.name for call in answer.choices[0].message.tool_calls or ()] == [name]


def test_only_one_call_is_made_where_only_one_may_be(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    answer = client.chat.completions.create(
        model="agent", messages=said("both"), tools=[WEATHER, ADD], parallel_tool_calls=False
    )
    assert len(answer.choices[0].message.tool_calls or ()) == 1
    tools: Any = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in (WEATHER, ADD)]
    message = claude.messages.create(
        model="agent",
        max_tokens=200,
        messages=said("both"),
        tools=tools,
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )
    assert [block.type for block in message.content].count("tool_use") == 1


def test_no_tool_is_offered_where_none_may_be_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="agent", messages=said("forecast"), tools=[WEATHER], tool_choice="none", max_tokens=50
    )
    assert not answer.choices[0].message.tool_calls


# ---- completions ---------------------------------------------------------------------------------------------------


def test_a_list_of_prompts_has_a_choice_for_each(client: openai.OpenAI) -> None:
    prompts = ["json", "count"]
    alone = [client.completions.create(model="chat", prompt=p, max_tokens=20).choices[0].text for p in prompts]
    answer = client.completions.create(model="chat", prompt=prompts, n=2, max_tokens=20)
    assert [choice.text for choice in answer.choices] == [alone[0], alone[0], alone[1], alone[1]]


def test_log_probabilities_of_a_completion(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="chat", prompt="json", logprobs=2, max_tokens=5).choices[0]
    found = choice.logprobs
    assert found is not None and found.tokens is not None and found.text_offset is not None
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == [len("".join(found.tokens[:i])) for i in range(len(found.tokens))]
    assert found.top_logprobs is not None and all(1 <= len(top) <= 2 for top in found.top_logprobs)


def test_an_echo_comes_before_the_reply(client: openai.OpenAI) -> None:
    alone = client.completions.create(model="chat", prompt="json", max_tokens=5).choices[0].text
    assert client.completions.create(model="chat", prompt="json", echo=True, max_tokens=5).choices[0].text == (
        "json" + alone
    )


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_echo_has_the_log_probabilities_of_the_prompt(client: openai.OpenAI, max_tokens: int) -> None:
    choice = client.completions.create(
        model="chat", prompt="json", echo=True, logprobs=1, max_tokens=max_tokens, temperature=0
    ).choices[0]
    found = choice.logprobs
    assert found is not None and found.tokens is not None and found.token_logprobs is not None
    n_prompt = len(found.tokens) - max_tokens
    assert "".join(found.tokens[:n_prompt]) == "json" and choice.text.startswith("json")
    assert found.token_logprobs[0] is None and all(value <= 0 for value in found.token_logprobs[1:])


def test_a_prompt_of_tokens_is_checked_and_echoed(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt=[5, 6, 7], echo=True, max_tokens=2)
    assert answer.usage is not None and answer.usage.prompt_tokens == 3
    assert answer.choices[0].text
    with pytest.raises(openai.BadRequestError, match="invalid token 1000000"):
        client.completions.create(model="chat", prompt=[[5], [1_000_000]])


# ---- constraints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"regex": "(yes|no)!"}, {"grammar": 'root ::= ("yes" | "no") "!"'}])
def test_replies_match_what_the_request_says(client: openai.OpenAI, fields: dict[str, str]) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("hi"), extra_body=fields)
    assert answer.choices[0].message.content in ("yes!", "no!")


# ---- contexts and usage --------------------------------------------------------------------------------------------

LONG = "word " * 5000


def test_a_prompt_that_exceeds_the_context_is_refused_with_the_numbers(
    client: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 256 tokens") as chat:
        client.chat.completions.create(model="chat", messages=said(LONG), extra_body={"num_ctx": 256})
    assert chat.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as response:
        client.responses.create(model="chat", input=LONG, extra_body={"num_ctx": 256})
    assert response.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 256 maximum"):
        claude.messages.create(model="chat", max_tokens=5, messages=said(LONG), extra_body={"num_ctx": 256})


def test_a_prompt_is_cut_if_the_request_says_so(client: openai.OpenAI) -> None:
    extra: Any = {"num_ctx": 256}
    cut = client.chat.completions.create(
        model="chat", messages=said(LONG), max_tokens=2, extra_body=extra | {"truncate": True}
    )
    assert cut.usage is not None and cut.usage.prompt_tokens <= 256
    answer = client.responses.create(model="chat", input=LONG, truncation="auto", max_output_tokens=2, extra_body=extra)
    assert answer.usage is not None and answer.usage.input_tokens <= 256


class Ends:
    """Asks each dialect the same, through its library; keeps what tells how the replies ended."""

    def __init__(self, client: openai.OpenAI, claude: anthropic.Anthropic, *, stream: bool, **extra: Any) -> None:
        self._openai = client
        self._claude = claude
        self._stream = stream
        self._extra = extra

    def chat(self, messages: Any, n: int) -> Any:
        answer: Any = self._openai.chat.completions.create(
            model="chat", messages=messages, max_tokens=n, stream=self._stream, extra_body=self._extra
        )
        return list(answer)[-1].choices[0] if self._stream else answer.choices[0]

    def completion(self, messages: Any, n: int) -> Any:
        prompt = " ".join(message["content"] for message in messages)
        answer: Any = self._openai.completions.create(
            model="chat", prompt=prompt, max_tokens=n, stream=self._stream, extra_body=self._extra
        )
        return list(answer)[-1].choices[0] if self._stream else answer.choices[0]

    def response(self, messages: Any, n: int) -> Any:
        answer: Any = self._openai.responses.create(
            model="chat", input=messages, max_output_tokens=n, stream=self._stream, extra_body=self._extra
        )
        return list(answer)[-1].response if self._stream else answer

    def message(self, messages: Any, n: int) -> Any:
        answer: Any = self._claude.messages.create(
            model="chat", messages=messages, max_tokens=n, stream=self._stream, extra_body=self._extra
        )
        return next(event.delta for event in answer if event.type == "message_delta") if self._stream else answer


DIALECTS = ["chat", "completion", "response", "message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_prompt_lost_is_told(
    client: openai.OpenAI, claude: anthropic.Anthropic, dialect: str, stream: bool
) -> None:
    history = [*said(LONG), {"role": "assistant", "content": "ok"}, *said("hi")]
    ask = getattr(Ends(client, claude, stream=stream, num_ctx=256, truncate=True), dialect)
    end = ask(history, 2)
    assert end.truncated is True
    assert end.prompt_original_count > 5000 > 256 >= end.prompt_kept_count > 0
    assert getattr(end, "dropped_messages_count", 0) == (0 if dialect == "completion" else 1)
    assert not hasattr(ask(said("hi"), 2), "truncated")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_full_context_is_told_from_a_limit(
    client: openai.OpenAI, claude: anthropic.Anthropic, dialect: str, stream: bool
) -> None:
    ends = [getattr(Ends(client, claude, stream=stream, num_ctx=256, shift=s), dialect) for s in (False, True)]
    full, shifted = (ask(said("count"), 600) for ask in ends)
    assert full.done_detail == "context" and not hasattr(full, "shifted_count")
    assert shifted.shifted_count > 0 and not hasattr(shifted, "done_detail")
    short = ends[0](said("count"), 2)
    assert not hasattr(short, "done_detail") and not hasattr(short, "shifted_count")


def test_inputs_that_were_cut_are_told_through_the_library(client: openai.OpenAI) -> None:
    answer: Any = client.embeddings.create(model="bert", input=["cat", LONG], extra_body={"num_ctx": 32})
    assert (answer.truncated, answer.truncated_inputs_count) == (True, 1)
    (cut,) = answer.truncated_inputs
    assert cut["index"] == 1 and cut["prompt_original_count"] > 32 >= cut["prompt_kept_count"]
    assert answer.prompt_kept_count == answer.usage.prompt_tokens


def test_what_was_cached_and_thought_is_told(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    for _ in range(2):
        usage = client.chat.completions.create(model="agent", messages=said("ponder")).usage
    assert usage is not None and usage.prompt_tokens_details is not None and usage.completion_tokens_details is not None
    assert (usage.prompt_tokens_details.cached_tokens or 0) > 0
    assert 0 < (usage.completion_tokens_details.reasoning_tokens or 0) < usage.completion_tokens
    message = claude.messages.create(model="agent", max_tokens=200, messages=said("ponder"))
    assert message.usage.input_tokens == usage.prompt_tokens
    marked: Any = [{"type": "text", "text": "ponder", "cache_control": {"type": "ephemeral"}}]
    message = claude.messages.create(model="agent", max_tokens=200, messages=[{"role": "user", "content": marked}])
    cached = message.usage.cache_read_input_tokens or 0
    assert cached > 0 and message.usage.input_tokens + cached == usage.prompt_tokens


@pytest.mark.parametrize("budget", [0, 2])
def test_thoughts_end_when_their_budget_is_spent(client: openai.OpenAI, budget: int) -> None:
    def thoughts(**fields: int) -> str:
        answer = client.chat.completions.create(
            model="agent", messages=said("ponder"), max_tokens=50, extra_body=fields
        )
        return (answer.choices[0].message.model_extra or {}).get("reasoning", "")

    whole, cut = thoughts(), thoughts(reasoning_budget_tokens=budget)
    assert len(cut) < len(whole) and whole.startswith(cut.strip())


# ---- embeddings ----------------------------------------------------------------------------------------------------


def test_tokens_that_are_none_of_the_models_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="invalid token"):
        client.embeddings.create(model="bert", input=[[5], [1_000_000]])
