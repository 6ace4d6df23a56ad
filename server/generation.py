"""From a request to its events: the one path that all dialects share.

Find the model, check that it can do what is asked, lease a runner, render the prompt, generate, parse. Nothing here
knows a wire format. Everything is an async generator that raises before its first event when a request is refused, and
that frees the runner's slot when it is closed early.
"""

from __future__ import annotations

import array
import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from models.errors import BadRequest, ModelError, ModelNotFound, UnusableOutput, WeightsMissing
from models.library import ModelSpec
from models.memory import memory_need
from models.options import (
    ModelLimits,
    Options,
    RunnerDefaults,
    merge,
    predict_limit,
    runner_config,
    sampling_of,
)
from models.parsers.events import Delta, DoneReason, Finished
from models.runner import messages as wire
from models.runner.messages import Chunk
from models.runner.process import RunnerProcess
from models.runner.settings import Adapter, AdapterSet, BackendSampling, Constraint, KvType, Sampling, ThoughtBudget
from models.templates.errors import InvalidChat
from registry.errors import InvalidName, ManifestNotFound
from registry.names import ModelName, Source, parse_source
from server import prompting
from server.admission import admit_chat, admit_generate
from server.formats import parse_constraint
from server.placement import Devices, Need, automatic_context
from server.prompt_writers import Prompt
from server.reply_reader import ReplyReader
from server.requests import (
    ChatRequest,
    Embeddings,
    EmbedRequest,
    GenerateRequest,
    InferenceRequest,
    Rendered,
    TextRequest,
    ToolUse,
)
from server.scheduler import Scheduler, Wanted
from server.sequences import SequencesWanted
from server.tool_choice import check_tool_choice, required_call

CLOUD_DISABLED = "ollama cloud is disabled: remote model is unavailable"
FAMILIES_THAT_RUN_ALONE = frozenset(
    {"mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next"}
    | {"lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"}
)
"""Compat: http-api 7.4: families that Ollama serves one request at a time."""

FAMILIES_WITHOUT_SHIFT = frozenset(("deepseek2",))
Event = Delta | Finished | Rendered


class CloudDisabled(ModelError):
    """The name asks for a model in Ollama's cloud, which this server does not speak to."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What the server's settings say about inference. 0 and None: automatic."""

    n_ctx: int = 0
    n_parallel: int = 0
    gpu_overhead_bytes: int = 0
    flash_attention: bool | None = None
    kv_type: KvType = KvType.F16
    go_template: bool | None = None
    prompt_cache_bytes: int = 0
    use_mlock: bool = False
    backend_sampling: BackendSampling = BackendSampling.AUTO


class Generation:
    """Serves chat, generate and embed requests with the models of a library."""

    def __init__(
        self,
        find: Callable[[ModelName], ModelSpec],
        scheduler: Scheduler,
        settings: GenerationSettings,
        devices: Callable[[], Devices],
    ) -> None:
        """`find` may block (it reads files) and raises ManifestNotFound, ModelNotFound, InvalidGGUF."""
        self._find_spec = find
        self._scheduler = scheduler
        self._settings = settings
        self._devices = devices

    # ---- the three kinds of request --------------------------------------------------------------------------------

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """The events of a chat; the last one is `Finished` (or `Rendered`, alone).

        Raises: ModelNotFound, BadRequest, OptionTypeError, LoadError, QueueFull, RunnerError, TemplateError.
        """
        spec = await self._find(request.model, missing=f"model '{request.model}' not found")
        if not request.messages and request.keep_alive_ns == 0:
            yield self._unload(spec)
            return
        check_tool_choice(request)
        think = admit_chat(spec, request)
        options = merge(spec.parameters, request.options)
        async with self._scheduler.lease(self._wanted(spec, options, request, request.shift)) as runner:
            load_ns = time.monotonic_ns() - request.arrived_ns
            if not request.messages:
                yield Finished(DoneReason.LOAD)
                return
            prompt = await prompting.for_chat(spec, request, think, runner)
            if request.debug_render_only:
                yield Rendered(prompt.text, prompt.n_images)
                return
            _require_readable(prompt, spec)
            reply = ReplyReader(prompt, load_ns, request.arrived_ns, calls_once=not request.parallel_tool_calls)
            async with aclosing(_generate(runner, prompt, spec, request, options)) as messages:
                async for message in messages:
                    for event in reply.read(message):
                        yield event
                    if reply.is_over:
                        return

    async def count_tokens(self, request: ChatRequest) -> int:
        """How many tokens the prompt of a chat would have, with nothing cut; an image counts as when history is cut.

        Raises: as `chat`.
        """
        spec = await self._find(request.model, missing=f"model '{request.model}' not found")
        think = admit_chat(spec, request)
        options = merge(spec.parameters, request.options)
        if not request.messages:
            return 0
        async with self._scheduler.lease(self._wanted(spec, options, request, request.shift)) as runner:
            prompt = await prompting.for_chat(spec, replace(request, truncate=False), think, runner)
            tokens = await runner.tokenize(prompt.text, add_special=True)
        return len(tokens) + prompting.IMAGE_TOKENS * prompt.n_images

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """The events of a completion, as for `chat`."""
        spec = await self._find(request.model, missing=f"model '{request.model}' not found")
        if not request.prompt and request.prompt_tokens is None and request.keep_alive_ns == 0:
            yield self._unload(spec)
            return
        think = admit_generate(spec, request)
        options = merge(spec.parameters, request.options)
        async with self._scheduler.lease(self._wanted(spec, options, request, request.shift)) as runner:
            load_ns = time.monotonic_ns() - request.arrived_ns
            if not request.prompt and request.prompt_tokens is None:
                yield Finished(DoneReason.LOAD)
                return
            prompt = await prompting.for_generate(spec, request, think, runner)
            if request.debug_render_only:
                yield Rendered(prompt.text, prompt.n_images)
                return
            _require_readable(prompt, spec)
            said: list[str] = []
            reply = ReplyReader(prompt, load_ns, request.arrived_ns)
            async with aclosing(_generate(runner, prompt, spec, request, options)) as messages:
                async for message in messages:
                    if isinstance(message, Chunk):
                        said.append(message.text)
                    for event in reply.read(message):
                        if isinstance(event, Finished) and event.reason is not None and not request.raw:
                            event = replace(event, context=await runner.tokenize(prompt.text + "".join(said)))
                        yield event
                    if reply.is_over:
                        return

    async def prompt_text(self, request: GenerateRequest) -> str:
        """The prompt of a completion as a text, also where it is given as tokens. Raises: as `generate`."""
        if request.prompt_tokens is None:
            return request.prompt
        spec = await self._find(request.model, missing=f"model '{request.model}' not found")
        admit_generate(spec, request)
        options = merge(spec.parameters, request.options)
        async with self._scheduler.lease(self._wanted(spec, options, request, request.shift)) as runner:
            return await runner.detokenize(request.prompt_tokens)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One vector for each input.

        Raises: as `chat`, and InputTooLong, UnusableOutput.
        """
        missing = f'model "{request.model}" not found, try pulling it first'
        spec = await self._find(request.model, missing=missing)
        options = merge(spec.parameters, request.options)
        async with self._scheduler.lease(self._wanted(spec, options, request, None)) as runner:
            load_ns = time.monotonic_ns() - request.arrived_ns
            if not request.inputs:
                return Embeddings(load_ns=load_ns)
            normalize = request.normalize or not spec.facts.has_raw_embeddings
            texts = [i if isinstance(i, str) else await runner.detokenize(i) for i in request.inputs]
            answer = await runner.embed(
                tuple(texts), truncate=request.truncate, normalize=normalize, adapters=_adapters(spec, options)
            )
        rows = await asyncio.to_thread(_rows, answer, request.dimensions)
        return Embeddings(rows, answer.n_tokens, load_ns, time.monotonic_ns() - request.arrived_ns, answer.cuts)

    # ---- before the runner -----------------------------------------------------------------------------------------

    async def _find(self, asked_name: str, *, missing: str) -> ModelSpec:
        """The model of this name as the client wrote it. Raises: BadRequest, CloudDisabled, ModelNotFound."""
        base, source = parse_source(asked_name)
        if source is Source.CLOUD:
            raise CloudDisabled(CLOUD_DISABLED)
        if not base:
            raise ModelNotFound(f"model '{asked_name}' not found")
        try:
            return await asyncio.to_thread(self._find_spec, ModelName.parse(base))
        except InvalidName as error:
            raise BadRequest("invalid model name") from error
        except ManifestNotFound as error:
            raise ModelNotFound(missing) from error
        except WeightsMissing as error:
            raise ModelNotFound(f'model "{asked_name}" not found, try pulling it first') from error

    def _unload(self, spec: ModelSpec) -> Finished:
        self._scheduler.unload(str(spec.weights))
        return Finished(DoneReason.UNLOAD)

    def _wanted(self, spec: ModelSpec, options: Options, request: InferenceRequest, shift: bool | None) -> Wanted:
        """The runner this request needs; what is automatic is decided, except for what only the load can.

        Raises: ModelNotFound, BadRequest.
        """
        if spec.weights is None:
            raise ModelNotFound(f"model '{request.model}' not found")
        _adapters(spec, options)  # what a request asks of them is wrong before a model is loaded
        limits = ModelLimits(
            n_ctx_train=spec.facts.n_ctx_train,
            is_embedding="completion" not in spec.capabilities,
            has_vision="vision" in spec.capabilities,
            runs_alone=spec.config.model_family in FAMILIES_THAT_RUN_ALONE,
        )
        automatic = options.num_ctx is None and not self._settings.n_ctx
        config = runner_config(
            options,
            limits,
            self._defaults(),
            model_path=str(spec.weights),
            shift=spec.config.model_family not in FAMILIES_WITHOUT_SHIFT if shift is None else shift,
            projectors=tuple(map(str, spec.projectors)),
            adapters=tuple(map(str, spec.adapters)),
        )
        adapter_bytes = tuple(map(_size_bytes, spec.adapters))
        others_bytes = sum(adapter_bytes) + sum(map(_size_bytes, spec.projectors))
        sequences = None
        if limits.has_several_sequences:
            sequences = SequencesWanted(spec.facts, self._settings.n_parallel or None, others_bytes)
            config = sequences.least(config)
        memory = memory_need(spec.facts, config, others_bytes=others_bytes)
        need = Need(memory.weights_bytes, memory.cache_bytes + memory.compute_bytes, spec.facts.n_layer)
        return Wanted(spec, config, need, request.keep_alive_ns, automatic, adapter_bytes, sequences)

    def _defaults(self) -> RunnerDefaults:
        settings = self._settings
        return RunnerDefaults(
            n_ctx=settings.n_ctx or self._automatic_context,
            n_parallel=settings.n_parallel or 1,
            flash_attention=settings.flash_attention,
            kv_type=settings.kv_type,
            prompt_cache_bytes=settings.prompt_cache_bytes,
            use_mlock=settings.use_mlock,
            backend_sampling=settings.backend_sampling,
        )

    @cached_property
    def _automatic_context(self) -> int:
        """By the GPUs that there are, which do not change."""
        return automatic_context(self._devices(), overhead_bytes=self._settings.gpu_overhead_bytes)


def _generate(
    runner: RunnerProcess, prompt: Prompt, spec: ModelSpec, request: TextRequest, options: Options
) -> AsyncGenerator[Chunk | wire.Finished, None]:
    """What the runner makes of a prompt."""
    mixed = prompt.mixed
    scores_prompt = isinstance(request, GenerateRequest) and request.scores_prompt
    says_nothing = scores_prompt and request.options.get("num_predict") == 0
    return runner.generate(
        prompt.text if mixed is None else "",
        sampling=_sampling(options, request.variant),
        stop=options.stop or (),
        n_predict=0 if says_nothing else predict_limit(options.num_predict, runner.ready.n_ctx),
        n_keep=4 if options.num_keep is None else options.num_keep,
        truncate=request.truncate,
        n_logprobs=request.n_logprobs,
        constraint=_constraint(request, prompt),
        shown=prompt.shown,
        thought_budget=_thought_budget(request, prompt),
        tokens=request.prompt_tokens if isinstance(request, GenerateRequest) else None,
        mixed=mixed,
        adapters=_adapters(spec, options),
        scores_prompt=scores_prompt,
    )


def _size_bytes(path: Path) -> int:
    """0 for a file that is gone: the load will say so."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _adapters(spec: ModelSpec, options: Options) -> AdapterSet:
    """What is added to the weights: all of the model's adapters, or as much of each as the request says.

    Raises: BadRequest for one that the model does not have.
    """
    if options.lora is None:
        return tuple(Adapter(str(path)) for path in spec.adapters)
    scales = dict(options.lora)
    for number in scales:
        if not 0 <= number < len(spec.adapters):
            raise BadRequest(f"lora: there is no adapter {number}, the model has {len(spec.adapters)}")
    said = ((path, scales.get(number, 0.0)) for number, path in enumerate(spec.adapters))
    return tuple(Adapter(str(path), scale) for path, scale in said if scale)


def _sampling(options: Options, variant: int) -> Sampling:
    """A seed that was given is counted up from one variant to the next."""
    sampling = sampling_of(options)
    if not variant or sampling.seed is None:
        return sampling
    return msgspec.structs.replace(sampling, seed=(sampling.seed + variant) & 0xFFFFFFFF)


def _thought_budget(request: TextRequest, prompt: Prompt) -> ThoughtBudget | None:
    if request.thinking_budget is None or prompt.thought_alone is None:
        return None
    return ThoughtBudget(prompt.thought_alone, request.thinking_budget)


def _constraint(request: TextRequest, prompt: Prompt) -> Constraint | None:
    """What the reply must look like: a call, if the request demands one, else the format. Raises: Unsupported.

    # Compat: http-api 4.6: a chat may think before it answers in the format, a completion may not. The format holds
    # for the whole reply also where tools are offered, as in llama.cpp: a call is not made then.
    """
    if isinstance(request, ChatRequest) and request.tool_choice.use is ToolUse.REQUIRED:
        return required_call(request, prompt)
    constraint = parse_constraint(request.format, request.grammar, request.regex)
    if constraint is None or isinstance(request, GenerateRequest):
        return constraint
    return msgspec.structs.replace(constraint, thought=prompt.thought)


def _require_readable(prompt: Prompt, spec: ModelSpec) -> None:
    """Raises: InvalidChat for images that nobody would look at."""
    if not prompt.n_images:
        return
    if not spec.projectors:
        raise InvalidChat("Multimodal data provided, but model does not support multimodal requests.")


def _rows(answer: wire.Embedded, dimensions: int) -> tuple[memoryview[float], ...]:
    """The vectors, cut to `dimensions` and made unit vectors again where that is fewer than they have.

    Raises: UnusableOutput.
    """
    values = memoryview(answer.vectors).cast("f")
    rows = tuple(values[i : i + answer.n_embd] for i in range(0, len(values), answer.n_embd))
    if not math.isfinite(sum(values)):  # no sum of finite 32-bit floats overflows; one that is not makes it so
        raise UnusableOutput("embedding contains NaN or Inf values")
    if not 0 < dimensions < answer.n_embd:
        return rows
    return tuple(_unit(row[:dimensions]) for row in rows)


def _unit(row: memoryview[float]) -> memoryview[float]:
    norm = max(sum(x * x for x in row) ** 0.5, 1e-12)
    return memoryview(array.array("f", (x / norm for x in row)))
