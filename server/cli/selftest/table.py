"""All checks in their order: what is cheap and fundamental first."""

from __future__ import annotations

from server.cli.selftest import models, text
from server.cli.selftest.checking import Check

CHECKS = (
    Check("version", models.version),
    Check("show", models.show),
    Check("list", models.listing),
    Check("generate", text.generate, "completion"),
    Check("chat", text.chat, "completion"),
    Check("stream", text.stream, "completion"),
    Check("conversation", text.conversation, "completion"),
    Check("seed", text.seed, "completion"),
    Check("stop", text.stop, "completion"),
    Check("limit", text.limit, "completion"),
    Check("logprobs", text.logprobs, "completion"),
    Check("json", text.json_format, "completion"),
    Check("json schema", text.json_schema, "completion"),
    Check("tools", text.tools, "tools"),
    Check("thinking", text.thinking, "thinking"),
    Check("parallel", models.parallel, "completion"),
    Check("cancel", models.cancel, "completion"),
    Check("keep-alive", models.loaded, "completion"),
    Check("unload", models.unload, "completion"),
    Check("embeddings", models.embeddings),
    Check("copy, delete", models.copy_and_delete),
    Check("create", models.create, "completion"),
    Check("unknown model", models.unknown_model),
)
