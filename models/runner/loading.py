"""From a runner's configuration to a desk that answers: the model, its context, its engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models.engine.context_end import ContextRules
from models.engine.embeddings import EmbeddingEngine, InputRules
from models.engine.loop import Engine
from models.engine.prepare import Preparer
from models.errors import LoadError
from models.llama.backend_trial import backend_should_pick, usual_chain
from models.llama.binding import has_gpu, start_backends
from models.llama.chain import NativeChain
from models.llama.context import MAX_SEQUENCES, Context, ContextParams
from models.llama.embedder import Embedder
from models.llama.logs import native_log
from models.llama.media import load_projector
from models.llama.model import Model, OnProgress
from models.llama.probe import computes_numbers
from models.llama.threads import default_threads
from models.runner.desk import Embedding, Generation, Service
from models.runner.messages import Ready
from models.runner.settings import RunnerConfig, Sampling

_CELLS_STEP = 256
"""llama.cpp rounds contexts up to this, and Ollama's clients see it: a sequence may fill what was rounded up."""
_LEAST_CTX = 4
_TINY_BYTES = 8 * 1024 * 1024
"""Weights for which a second thread costs more than it brings: some hundred barriers a token, each longer than the
computation between them, and much longer where something else wants the cores."""
_EMBED_SEQUENCES = 64
_EMBED_STEP = 256


def load(config: RunnerConfig, on_progress: OnProgress) -> tuple[Model, Service, Ready]:
    """Load the model and make its engine; the context stays with the engine. Raises: LoadError, OutOfMemory."""
    native_log.install()
    start_backends()
    model = Model(
        config.model_path,
        n_gpu_layers=config.n_gpu_layers,
        main_gpu=config.main_gpu,
        use_mmap=config.use_mmap,
        use_mlock=config.use_mlock,
        on_progress=on_progress,
    )
    if model.has_encoder and model.has_decoder:
        raise LoadError("models with an encoder and a decoder are not supported")
    model.adapters.load(config.adapters)
    n_ctx = max(_LEAST_CTX, min(config.n_ctx, model.n_ctx_train or config.n_ctx))
    service = _generation(config, model, n_ctx) if model.pooling_type is None else _embedding(config, model, n_ctx)
    model.adapters.wanted = lambda: service.adapter_sets
    return model, service, _ready(model, n_ctx)


def _generation(config: RunnerConfig, model: Model, n_ctx: int) -> Generation:
    n_cells = -(-n_ctx // _CELLS_STEP) * _CELLS_STEP
    n_ctx_seq = min(n_cells, model.n_ctx_train or n_cells)
    n_parallel = min(config.n_parallel, MAX_SEQUENCES)
    n_cells_all = n_cells * n_parallel
    if _shares_cells(config, model, n_cells_all):
        n_cells_all = max(config.n_cells or n_cells_all, n_cells)
        n_seq_max = n_parallel + _spare_sequences(model, n_parallel)
        params = _params(config, model, n_ctx=n_cells_all, n_seq_max=n_seq_max)
    else:
        params = replace(_params(config, model, n_ctx=n_cells_all, n_seq_max=n_parallel), shares_cells=False)
    projector = load_projector(config.projectors, model, n_threads=params.n_threads, use_gpu=bool(config.n_gpu_layers))
    uses_backend = backend_should_pick(
        model, params, config.backend_sampling, n_sequences=n_parallel, is_gpu=_uses_gpu(config)
    )
    if uses_backend:
        params = replace(params, chains=(usual_chain(model.vocab.n_tokens),) * params.n_seq_max)
    context = Context(model, params, projector)
    model.adapters.probe = lambda adapters: computes_numbers(model, params, adapters)
    rules = ContextRules(n_ctx=n_ctx, n_ctx_seq=n_ctx_seq, shift=config.shift, adds_bos=model.vocab.adds_bos)
    engine = Engine(
        context,
        model.vocab,
        rules,
        n_slots=n_parallel,
        prompt_cache_bytes=config.prompt_cache_bytes,
    )
    preparer = Preparer(
        model.vocab,
        rules,
        special_sampler=_single_sampler(config, context),
        read_media=projector.prepare if projector is not None else None,
        uses_backend=uses_backend,
    )
    return Generation(engine, preparer)


def _shares_cells(config: RunnerConfig, model: Model, n_cells_all: int) -> bool:
    """Whether all sequences share the cells, or each has as many as its context may need.

    On a processor, attention looks at every cell that is shared, if only to see that another sequence has it: 32 short
    sequences of a 135M model take a third longer for a step, long ones several times as long. To copy a common prefix
    costs a two-hundredth of computing it. But where memory does not suffice for everybody's whole context, cells
    are shared; a GPU copies slowly; and a recurrent state has no cells.
    """
    is_short = 0 < config.n_cells < n_cells_all
    return is_short or model.is_recurrent or _uses_gpu(config)


def _spare_sequences(model: Model, n_parallel: int) -> int:
    """How many sequences may stay in the context beside those that run.

    With attention to everything they cost a row of logits each. A window and a recurrent state have memory of their
    own for every sequence: there, finished ones go to the prompt cache.
    """
    if model.is_recurrent or model.n_swa:
        return 0
    return max(0, min(max(n_parallel, 4), 16, MAX_SEQUENCES - n_parallel))


def _uses_gpu(config: RunnerConfig) -> bool:
    return bool(config.n_gpu_layers) and has_gpu()


def _single_sampler(config: RunnerConfig, context: Context) -> Callable[[Sampling], NativeChain | None]:
    """llama.cpp's chain, for sequences that run alone."""
    if config.n_parallel > 1:
        return lambda options: None
    return lambda options: NativeChain(context, options) if NativeChain.suits(options) else None


def _embedding(config: RunnerConfig, model: Model, n_ctx: int) -> Embedding:
    params = _params(config, model, n_ctx=config.n_batch, n_seq_max=_EMBED_SEQUENCES)
    rules = InputRules(  # Compat: http-api 6.13, a key that is missing counts as true
        n_ctx,
        keeps_first=model.metadata("tokenizer.ggml.add_bos_token") != "false",
        keeps_last=model.metadata("tokenizer.ggml.add_eos_token") != "false",
    )
    model.adapters.probe = lambda adapters: computes_numbers(model, params, adapters)
    n_step = None if _uses_gpu(config) else _EMBED_STEP
    return Embedding(EmbeddingEngine(Embedder(model, params), n_step=n_step), model.vocab, rules)


def _params(config: RunnerConfig, model: Model, *, n_ctx: int, n_seq_max: int) -> ContextParams:
    return ContextParams(
        n_ctx=n_ctx,
        n_batch=max(config.n_batch, n_seq_max),
        n_seq_max=n_seq_max,
        n_threads=config.n_threads or (1 if model.size_bytes < _TINY_BYTES else default_threads()),
        kv_type=config.kv_type,
        flash_attention=config.flash_attention,
    )


def _ready(model: Model, n_ctx: int) -> Ready:
    buffers, held = native_log.buffers, model.adapters.held
    return Ready(
        n_ctx=n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_vocab=model.vocab.n_tokens,
        size_bytes=buffers.host_bytes + buffers.device_bytes - held.size_bytes,
        vram_bytes=buffers.device_bytes - held.vram_bytes,
        adds_bos=model.vocab.adds_bos,
        adapters=held,
    )
