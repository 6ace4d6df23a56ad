"""The built-in renderers by the name that a model's config gives (prompting.md 6.0)."""

from __future__ import annotations

from models.templates.errors import TemplateError
from models.templates.renderers import cogito, deepseek
from models.templates.renderers.conversation import Renderer

RENDERERS: dict[str, Renderer] = {
    "cogito": Renderer(cogito.render_cogito, cogito.BOS),
    "deepseek3.1": Renderer(deepseek.render_deepseek, deepseek.BOS),
}


def find_renderer(name: str) -> Renderer:
    """The renderer of this name. Raises: TemplateError, in Ollama's words, for an unknown one."""
    renderer = RENDERERS.get(name)
    if renderer is None:
        raise TemplateError(f'unknown renderer "{name}"')
    return renderer
