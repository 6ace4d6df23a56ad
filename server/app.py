"""The application: which routes there are, what serves them, and how long that lives."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from models.library import Library
from models.runner.settings import BackendSampling, KvType
from registry.store import Store
from server.builtin import Builtin
from server.devices import current_devices, has_spare_cpus
from server.errors import EXPECTED
from server.generation import Generation, GenerationSettings
from server.routes.anthropic import messages
from server.routes.incoming import Parts
from server.routes.native import blobs, chat, create, embed, generate, models, status, transfer
from server.routes.native.replies import error_answer
from server.routes.openai import chat as openai_chat
from server.routes.openai import completions, embeddings, transcriptions
from server.routes.openai import models as openai_models
from server.routes.openai.responses import route as responses
from server.scheduler import Scheduler
from server.settings import Settings
from server.streaming import CompleteResponse, UnreadBodyResponse
from server.transfers import Transfers
from server.transport.bodies import BodyTooLarge

logger = logging.getLogger(__name__)

NATIVE = (generate, chat, embed, models, blobs, create, transfer, status)
OPENAI = (openai_chat, completions, embeddings, openai_models, responses, transcriptions)
ROUTERS: tuple[APIRouter, ...] = tuple(module.router for module in (*NATIVE, *OPENAI, messages))


def create_app(parts: Parts) -> FastAPI:
    """The application around `parts`, whose runners end with its lifespan.

    It knows no 404, 405 or redirect, and no CORS: that is `transport.gate`'s.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await parts.transfers.close()
            await parts.scheduler.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    for kind in (*EXPECTED, Exception):
        app.add_exception_handler(kind, _refuse)
    return app


def routes() -> Iterable[tuple[str, Iterable[str]]]:
    """All paths with their methods."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route.path, route.methods or ()


async def _refuse(_: Request, error: Exception) -> Response:
    """What a route raised, in the dialect's form: there is one dialect so far."""
    answer = error_answer(error)
    return UnreadBodyResponse(answer) if isinstance(error, BodyTooLarge) else CompleteResponse(answer)


def build_parts(settings: Settings) -> Parts:
    """Everything that serves requests, as the settings say; nothing is started yet."""
    store = Store(settings.models_dir)
    library = Library(store, go_templates=settings.go_template)
    builtin = Builtin(store, library, enabled=settings.builtin)
    scheduler = Scheduler(
        keep_alive_ns=settings.keep_alive_ns,
        max_queue=settings.max_queue,
        max_runners=settings.max_loaded_models,
        load_timeout_s=settings.load_timeout_s,
        devices=current_devices,
    )
    generation = Generation(builtin.find, scheduler, generation_settings(settings), current_devices)
    return Parts(
        settings=settings,
        store=store,
        library=library,
        builtin=builtin,
        scheduler=scheduler,
        generation=generation,
        transfers=Transfers(
            store,
            library,
            builtin,
            home=settings.home,
            prune=not settings.no_prune,
            is_needed_elsewhere=lambda: scheduler.is_computing and not has_spare_cpus(),
        ),
        cloud_is_off_by_config=_is_cloud_off(settings),
    )


def generation_settings(settings: Settings) -> GenerationSettings:
    """What of the environment concerns how models are run."""
    return GenerationSettings(
        n_ctx=settings.n_ctx,
        n_parallel=settings.n_parallel,
        gpu_overhead_bytes=settings.gpu_overhead_bytes,
        flash_attention=settings.flash_attention,
        kv_type=_kv_type(settings.kv_cache_type, settings.flash_attention),
        go_template=settings.go_template,
        prompt_cache_bytes=settings.prompt_cache_bytes,
        use_mlock=settings.use_mlock,
        backend_sampling=BackendSampling(settings.backend_sampling),
    )


def _kv_type(text: str, flash_attention: bool | None) -> KvType:
    """The type asked for; f16 if there is none of that name, or if only flash attention could read it."""
    try:
        kv_type = KvType(text.lower() or "f16")
    except ValueError:
        logger.warning("OLLAMA_KV_CACHE_TYPE=%s: unknown type, using f16", text)
        return KvType.F16
    if flash_attention is False and kv_type is not KvType.F16:
        logger.warning("OLLAMA_KV_CACHE_TYPE=%s: needs flash attention, which is turned off; using f16", text)
        return KvType.F16
    return kv_type


def _is_cloud_off(settings: Settings) -> bool:
    """# Compat: registry-store-cli 2.1, `server.json`."""
    try:
        config = orjson.loads((settings.home / ".ollama" / "server.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(config, dict) and config.get("disable_ollama_cloud") is True
