"""What is checked of a request before a model is loaded for it: can this model do that at all?"""

from __future__ import annotations

from models.errors import BadRequest, MissingCapability
from models.library import ModelSpec
from models.templates.chat import Think
from registry.gojson import quote
from server.requests import ChatRequest, GenerateRequest, TextRequest
from server.tool_choice import offered_tools

RAW_CONFLICT = "raw mode does not support template, system, or context"
NO_IMAGE_MODELS = "image generation models are not currently supported"


def admit_chat(spec: ModelSpec, request: ChatRequest) -> Think | None:
    """Check a chat; the answer is how to think, None for a model that cannot. Raises: MissingCapability."""
    think = _thinking(spec, request)
    _require(spec, request.model, "chat", ("tools",) if offered_tools(request) else ())
    return think


def admit_generate(spec: ModelSpec, request: GenerateRequest) -> Think | None:
    """The same for a generate request. Raises: BadRequest, MissingCapability."""
    if "image" in spec.capabilities:
        raise BadRequest(NO_IMAGE_MODELS)
    if request.raw and (request.template or request.system or request.context):
        raise BadRequest(RAW_CONFLICT)
    think = _thinking(spec, request)
    _require(spec, request.model, "generate", ("insert",) if request.suffix else ())
    return think


def _thinking(spec: ModelSpec, request: TextRequest) -> Think | None:
    """# Compat: http-api 4.1, 4.3: a model that can think does, unless told not to."""
    if "thinking" in spec.capabilities:
        # A template's own switch counts, where the request says nothing plainer.
        switch = request.template_kwargs.get("enable_thinking", True)
        return request.think if request.think is not None else Think(bool(switch))
    if request.think_if_able:
        return None
    if request.think is not None and request.think.enabled:
        if "completion" not in spec.capabilities:
            return None  # that is the graver lack, and told by `_require`
        raise MissingCapability(f"{quote(request.model)} does not support thinking")
    return request.think


def _require(spec: ModelSpec, asked_name: str, verb: str, needed: tuple[str, ...]) -> None:
    if "completion" not in spec.capabilities:
        raise MissingCapability(f"{quote(asked_name)} does not support {verb}")
    missing = [capability for capability in needed if capability not in spec.capabilities]
    if missing:
        raise MissingCapability(f"{spec.name.full} does not support " + "\n".join(missing))
