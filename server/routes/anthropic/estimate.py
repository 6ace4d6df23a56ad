"""What a prompt will cost, guessed from its length: told when a stream begins, before the prompt has been counted.

# Compat: http-api 9.3: a fourth of the bytes; Ollama anthropic/anthropic.go EstimateInputTokens 0.33.
"""

from __future__ import annotations

from typing import Any

from registry.gojson import Raw, encode, encode_sorted
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.syntax import parse_whole
from server.routes.anthropic.schema import BLOCK, BlockBody, CitationBody, ImageSourceBody, MessagesBody

BYTES_PER_TOKEN = 4


def estimate_tokens(body: MessagesBody) -> int:
    n_bytes = _system_bytes(body.system)
    n_bytes += sum(_length(m.role) + sum(map(_block_bytes, m.content)) for m in body.messages)
    n_bytes += sum(_length(t.name) + _length(t.description) + len(t.input_schema) for t in body.tools)
    return max(n_bytes // BYTES_PER_TOKEN, 1)


def _length(text: str | None) -> int:
    return len((text or "").encode())


def _system_bytes(system: Any) -> int:
    match system:
        case None:
            return 0
        case str():
            return _length(system)
        case list():
            return sum(map(_item_bytes, system))
        case _:
            return len(encode_sorted(system))


def _item_bytes(item: Any) -> int:
    try:
        return _block_bytes(decode(BLOCK, parse_whole(encode_sorted(item))))
    except DecodeError:
        return 0


def _block_bytes(block: BlockBody) -> int:
    n_bytes = _length(block.text) + _length(block.thinking)
    return n_bytes + (len(encode(_fields(block))) if block.type in ("tool_use", "tool_result") else 0)


def _fields(block: BlockBody) -> dict[str, Any]:
    """The block as Go would write it: what is empty is left out, but not a text or thought that was said."""
    found = {
        "type": block.type,
        "text": block.text,
        "citations": [_citation_fields(citation) for citation in block.citations] or None,
        "source": _source_fields(block.source) if block.source else None,
        "id": block.id or None,
        "name": block.name or None,
        "input": None if block.input is None else {k: Raw(encode_sorted(v)) for k, v in block.input.items()},
        "tool_use_id": block.tool_use_id or None,
        "content": None if block.content is None else Raw(encode_sorted(block.content)),
        "is_error": block.is_error or None,
        "thinking": block.thinking,
        "signature": block.signature or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _citation_fields(body: CitationBody) -> dict[str, str]:
    found = {"type": body.type, "url": body.url, "title": body.title}
    optional = {"encrypted_index": body.encrypted_index, "cited_text": body.cited_text}
    return found | {key: value for key, value in optional.items() if value}


def _source_fields(body: ImageSourceBody) -> dict[str, str]:
    optional = {"media_type": body.media_type, "data": body.data, "url": body.url}
    return {"type": body.type} | {key: value for key, value in optional.items() if value}
