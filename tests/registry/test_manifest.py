from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import InvalidManifest
from registry.gojson import encode, encode_sorted
from registry.manifest import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    DraftConfig,
    Layer,
    Manifest,
    MediaType,
    ModelConfig,
    encode_config,
    encode_manifest,
    parse_config,
    parse_manifest,
)

A, B, C = (Digest.of(text) for text in (b"a", b"b", b"c"))


def line(value: object) -> bytes:
    return encode_sorted(value) + b"\n"


def text(key: str) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode()


GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.architecture") + struct.pack("<I", 8) + text("test")
CONFIG = ModelConfig(
    model_format="gguf", model_family="test", model_families=("test",), model_type="0", file_type="unknown"
)
MESSAGES = [
    {"role": "assistant", "content": "What is my purpose?"},
    {"role": "user", "content": "You run tests."},
    {"role": "assistant", "content": "Oh, my god."},
]

GOLDEN = [
    (GGUF, "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"),
    (encode_config(CONFIG), "99759ad5b91e723db0393d698ffbb448b1b7df5ff6377a108c49254583b1bc8c"),
    (
        line({"stop": ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]}),
        "0d79f567714c62c048378f2107fb332dabee0135d080c302d884317da9433cc5",
    ),
    (
        line({"top_k": 10.0, "temperature": 1.0, "stop": ["USER:", "ASSISTANT:"]}),
        "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37",
    ),
    (
        line({"top_p": 0.7, "stop": ["USER:", "ASSISTANT:"], "temperature": 0.6, "top_k": 10}),
        "e29a7b3c47287a2489c895d21fe413c20f859a85d20e749492f52a838e36e1ba",
    ),
    (
        line({"stop": ["<|endoftext|>"], "top_p": 0.7, "top_k": 10, "temperature": 0.6}),
        "12f58bb75cb3042d69a7e013ab87fb3c3c7088f50ddc62f0c77bd332f0d44d35",
    ),
    (encode(MESSAGES) + b"\n", "298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4"),
    (b"Say hi!", "f29e82a8284dbdf5910b1555580ff60b04238b8da9d5e51159ada67a4d0d5851"),
    (b"{{ .Prompt }}", "b507b9c2f6ca642bffcd06665ea7c91f235fd32daeefdf875a0f938db05fb315"),
    (b"{{ .System }} {{ .Prompt }}", "fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed"),
    (b"MIT", "e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7"),
    (b"Apache-2.0", "2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608"),
]


@pytest.mark.parametrize(("content", "sha256"), GOLDEN)
def test_content_has_the_digest_that_the_original_gives_it(content: bytes, sha256: str, tmp_path: Path) -> None:
    digest, _ = BlobStore(tmp_path).put_bytes(content)
    assert str(digest) == f"sha256:{sha256}"
    assert (tmp_path / "blobs" / f"sha256-{sha256}").read_bytes() == content


def of(kind: MediaType, content: bytes) -> Layer:
    return Layer(kind, Digest.of(content), len(content))


def recorded_models() -> dict[str, dict[str, object]]:
    """What the original lists after making `chat` and `persona` of one file."""
    session = json.loads((Path(__file__).parents[1] / "conformance" / "golden" / "copy-delete-a.json").read_bytes())
    body = next(e["response"]["body"] for e in session["exchanges"] if e["id"] == "tags")
    return {model["name"]: model for model in json.loads(body)["models"]}


def test_the_same_models_get_the_digests_that_the_original_gave_them(tiny_model: Callable[[str], Path]) -> None:
    """Manifest, config, parameters and messages at once: one other byte anywhere is another digest."""
    template = (
        b"{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
    )
    config = of(MediaType.CONFIG, encode_config(ModelConfig("gguf", "llama", ("llama",), "607K", "F16")))
    base = (of(MediaType.MODEL, tiny_model("chatml").read_bytes()), of(MediaType.TEMPLATE, template))
    chat = (*base, of(MediaType.PARAMS, line({"stop": ["<|im_start|>", "<|im_end|>"]})))
    persona = (
        *base,
        of(MediaType.SYSTEM, b"You are a <polite> robot & friend."),
        of(MediaType.LICENSE, b"First license."),
        of(MediaType.LICENSE, b"Second license.\nTwo lines."),
        of(
            MediaType.PARAMS,
            line({"temperature": 0.0, "stop": ["STOP", "<|im_end|>"], "num_predict": 20.0, "top_k": 7.0}),
        ),
        of(
            MediaType.MESSAGES,
            encode([{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A robot."}]) + b"\n",
        ),
    )
    recorded = recorded_models()
    for name, layers in (("chat:latest", chat), ("persona:latest", persona)):
        manifest = Manifest(config, layers)
        assert manifest.size_bytes == recorded[name]["size"]
        assert Digest.of(encode_manifest(manifest)).hex == recorded[name]["digest"]


def test_a_written_manifest_has_the_original_form() -> None:
    manifest = Manifest(
        config=Layer(MediaType.CONFIG, C, 5),
        layers=(
            Layer(MediaType.MODEL, A, 10, from_name="a<b>.gguf"),
            Layer(MediaType.TENSOR, B, 20, name="model.embed"),
        ),
    )
    raw = encode_manifest(manifest)
    assert raw.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        f'"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{C}","size":5}},'
        f'"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{A}","size":10,'
        '"from":"a\\u003cb\\u003e.gguf"},'
        f'{{"mediaType":"application/vnd.ollama.image.tensor","digest":"{B}","size":20,"name":"model.embed"}}]}}\n'
    )
    assert parse_manifest(raw) == manifest


def test_no_layers_and_no_config_are_written_as_the_original_does() -> None:
    raw = encode_manifest(Manifest(None, ()))
    assert raw.endswith(b'"config":{"mediaType":"","digest":"","size":0},"layers":null}\n')
    assert parse_manifest(raw) == Manifest(None, ())


def test_manifests_of_others_may_be_spaced_ordered_and_extended_as_they_like() -> None:
    raw = f"""{{
      "layers": [
        {{"size": 1, "digest": "{A}", "mediaType": "application/x-unknown", "annotations": {{"a": 1}}}},
        {{"SIZE": 2, "Digest": "{B}", "mediatype": "{MediaType.PROMPT}"}}
      ],
      "extra": [1, 2],
      "config": {{"digest": "{str(C).replace(":", "-", 1)}", "size": 3, "mediaType": "{MediaType.CONFIG}"}}
    }}
    """
    manifest = parse_manifest(raw.encode())
    assert [layer.media_type for layer in manifest.layers] == ["application/x-unknown", MediaType.PROMPT]
    assert [layer.kind for layer in manifest.layers] == ["application/x-unknown", MediaType.TEMPLATE]
    assert manifest.digests == {A, B, C}
    assert manifest.size_bytes == 6
    assert [layer.digest for layer in manifest.of_kind(MediaType.TEMPLATE)] == [B]


def test_a_layer_that_occurs_twice_counts_twice() -> None:
    layer = Layer(MediaType.LICENSE, A, 7)
    manifest = Manifest(Layer(MediaType.CONFIG, A, 7), (layer, layer))
    assert manifest.size_bytes == 21
    assert manifest.digests == {A}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "invalid JSON"),
        (b'{"layers":[{"digest":"sha256:../../../etc/passwd","size":1}]}', "invalid digest format"),
        (b'{"layers":[{"size":1}]}', "invalid digest format"),
        (b'{"config":{"digest":"sha256:xyz"}}', "invalid digest format"),
        (f'{{"layers":[{{"digest":"{A}","size":-1}}]}}'.encode(), "negative size"),
        (f'{{"layers":[{{"digest":"{A}","size":"1"}}]}}'.encode(), "size is not a 64-bit integer"),
        (b'{"layers":{}}', "layers is not a list"),
        (b'{"layers":[null]}', "layers is not a list of objects"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "more than the 4194304 allowed"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_invalid(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        parse_manifest(raw)


FULL = ModelConfig(
    model_format="gguf",
    model_family="llama",
    model_families=("llama", "clip"),
    model_type="7B",
    file_type="Q4_0",
    renderer="r",
    parser="p",
    requires="0.14.0",
    remote_host="https://ollama.com:443",
    remote_model="m",
    capabilities=("tools", "vision"),
    context_length=4096,
    embedding_length=512,
    base_name="b",
    draft=DraftConfig("gguf", "llama", "draft.", "draft/config.json"),
)


def test_a_written_config_has_all_members_in_the_original_order() -> None:
    raw = encode_config(FULL)
    assert raw.decode() == (
        '{"model_format":"gguf","model_family":"llama","model_families":["llama","clip"],"model_type":"7B",'
        '"file_type":"Q4_0","renderer":"r","parser":"p","requires":"0.14.0","remote_host":"https://ollama.com:443",'
        '"remote_model":"m","capabilities":["tools","vision"],"context_length":4096,"embedding_length":512,'
        '"base_name":"b","draft":{"model_format":"gguf","architecture":"llama","tensor_prefix":"draft.",'
        '"config":"draft/config.json"},"architecture":"amd64","os":"linux"}\n'
    )
    assert parse_config(raw) == FULL


def test_an_empty_config_keeps_what_is_never_omitted() -> None:
    assert encode_config(ModelConfig()).decode() == (
        '{"model_format":"","model_family":"","model_families":null,"model_type":"","file_type":"",'
        '"architecture":"amd64","os":"linux"}\n'
    )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model_format":"gguf","model_family":"test","model_families":["test"],"model_type":"0","file_type":"unknown",'
        b'"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:abc"]}}',
        b'{"model_format":"gguf","model_family":"test","model_families":["test"],"model_type":"0","file_type":"unknown"}',
    ],
    ids=["with rootfs", "without architecture"],
)
def test_configs_of_older_releases_are_read_and_written_in_the_new_form(raw: bytes) -> None:
    assert parse_config(raw) == CONFIG
    assert b"rootfs" not in encode_config(parse_config(raw))


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"model_families":"x"}', b'{"draft":[]}', b" " * (MAX_CONFIG_BYTES + 1)])
def test_a_config_that_is_none_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_config(raw)
