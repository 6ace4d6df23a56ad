"""From a runner's configuration to a desk that answers: the model, its context, its engine."""

from __future__ import annotations

from dataclasses import replace

from models.engine.context_end import ContextRules
from models.engine.embeddings import EmbeddingEngine, InputRules
from models.engine.loop import Engine
from models.engine.prepare import Preparer
from models.errors import LoadError
from models.llama.backend_trial import backend_should_pick, usual_chain
from models.llama.binding import has_gpu, start_backends
from models.llama.context import Context, ContextParams
from models.llama.embedder import Embedder
from models.llama.logs import native_log
from models.llama.media import load_projector
from models.llama.model import Model, OnProgress
from models.llama.probe import computes_numbers
from models.llama.threads import default_threads
from models.runner.desk import Embedding, Generation, Service
from models.runner.layout import context_length, lay_out, scored_tokens
from models.runner.messages import Ready
from models.runner.settings import RunnerConfig

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
    n_ctx = context_length(config, model.n_ctx_train)
    service = _generation(config, model) if model.pooling_type is None else _embedding(config, model, n_ctx)
    model.adapters.wanted = lambda: service.adapter_sets
    return model, service, _ready(model, n_ctx)


def _generation(config: RunnerConfig, model: Model) -> Generation:
    layout = lay_out(
        config,
        n_ctx_train=model.n_ctx_train,
        is_recurrent=model.is_recurrent,
        has_window=model.n_swa > 0,
        uses_gpu=_uses_gpu(config),
    )
    params = _params(config, model, n_ctx=layout.n_cells, n_seq_max=layout.n_sequences)
    params = replace(params, shares_cells=layout.shares_cells, n_scored=scored_tokens(model.vocab.n_tokens))
    projector = load_projector(config.projectors, model, n_threads=params.n_threads, use_gpu=bool(config.n_gpu_layers))
    uses_backend = backend_should_pick(
        model, params, config.backend_sampling, n_sequences=layout.n_slots, is_gpu=_uses_gpu(config)
    )
    if uses_backend:
        params = replace(params, chains=(usual_chain(model.vocab.n_tokens),) * params.n_seq_max)
    context = Context(model, params, projector)
    model.adapters.probe = lambda adapters: computes_numbers(model, params, adapters)
    adds_bos = model.vocab.adds_bos
    rules = ContextRules(n_ctx=layout.n_ctx, n_ctx_seq=layout.n_ctx_seq, shift=config.shift, adds_bos=adds_bos)
    engine = Engine(
        context,
        model.vocab,
        rules,
        n_slots=layout.n_slots,
        prompt_cache_bytes=config.prompt_cache_bytes,
    )
    preparer = Preparer(
        model.vocab,
        rules,
        read_media=projector.prepare if projector is not None else None,
        uses_backend=uses_backend,
    )
    return Generation(engine, preparer)


def _uses_gpu(config: RunnerConfig) -> bool:
    return bool(config.n_gpu_layers) and has_gpu()


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
