from __future__ import annotations

import hashlib
import time

import pytest

from models.create.known_templates import Reference, _known, detect_template
from models.templates.go.analysis import analyse

TEMPLATES = {
    "alfred": "3d8766305b70e46ec57a4e70c46402fe677b2bbe0ba23af6caf8a6b534a92e42",
    "alpaca": "34ed3812a77d23f667b4dc1f63c7564df4ac4d02ff88cfba658debb8ca2b8059",
    "chatml": "e3b2721cec511e3a627ae0993753abbf5c72cdf4cfcdbc8f5c33ce15c4c4e04b",
    "chatqa": "1c4b2e51cf108dc8cdc6b1dc3bd11e4f3b575e7a1a961117bdb1229790a06fb2",
    "codellama-70b-instruct": "144e31793e9ebbc833530d2e992d1fc4dcb5a221e137cc8038c4f863f89f494e",
    "command-r": "cedc23829af01ffb7ac6cc9e79b07ac5f306bf37e11bddb93ec072dd4f8fc756",
    "falcon-instruct": "6811aaaa5e1885891240a89af4dbe54a8fcd5259e169e88161ab596a478d3a86",
    "gemma-instruct": "4ea0df93422f8340a23cbb30feb814196a03aed2e1d97382b6529fad7c541f79",
    "gemma3-instruct": "680a6206c5762f5a0915d25b2e5d85f8a1aecbc07a03a504bcbe21b5796b34ca",
    "granite-instruct": "d6bde791ae5d61abed6d7f3535a7d081589574c6389e36cdcc70eaf098bd83de",
    "llama2-chat": "3f74e056f96c687f67c49ed8309407e0612611e94b910464d8a3d9b60b46d7a6",
    "llama3-instruct": "61dc7b1a77154f4015bbf548fb63b33550162cfd5d6cbf59b7e7843ece99a49e",
    "magicoder": "25183b8f5dc6dfacfd7e6783b7b1cd12d8d42ce8a1f965051e61ffd1924294e5",
    "mistral-instruct": "c502cd9313888317b670db1c6d5698783656a22ea75101651baa2c94d42397fb",
    "openchat": "e4ef0210ea1e3e5794d5cc22e95b85f97cfa0be15c3d18ad4b20e6915dcc2266",
    "phi-3": "35360843d0c84fb1506952a131bbef13cd2bb4a541251f22535170c05b56e672",
    "solar-instruct": "2a9a67ad51b48060f9816867a0605cd1aa80b3a55c228d7596e180f762ea316d",
    "starcoder2-instruct": "60851c266b6fdc5bc66b7993ba5e257e191569b02509514d6071ee10818472b9",
    "vicuna": "afb92aa3328db00d21faf8504790d8413c904b349b86fae332954bbe9c5899ca",
    "zephyr": "a212eb1556b15dc9c63813c9b91dc4a569b8a5fb248fad55b5489b07b48f1a43",
}
"""registry-store-cli 6.5."""

INDEX = """
chatml 441/91aa728ae59c; chatml 291/58c1a1f04baa; zephyr 410/66291cf0045c; chatml 358/3ce2fe9753f9;
openchat 222/901b10d47195; chatml 209/a805e50fed68; chatml 196/153280e3ff55; chatml 328/793202280c09;
chatml 327/af9c0233881b; zephyr 306/bf61473d7119; mistral-instruct 470/26a59556925c;
starcoder2-instruct 574/6de66c5b4eb2;
llama2-chat 813/ea2472f29dbd; codellama-70b-instruct 531/75678d463085; mistral-instruct 477/7e995b379ec0;
chatml 450/e6f6e5c19265; chatml 306/f42d04ffb2e4; chatml 629/f02c53419301; chatml 1842/faf1f8b675be;
alpaca 1041/993c0af704ba; chatqa 459/8aeba567270f; gemma-instruct 591/ecd6ae513fe1; gemma3-instruct 1532/7de1c58e208e;
llama3-instruct 389/ba03a121d097; llama3-instruct 4614/e10ca381b1cc; granite-instruct 376/e84ee90c8a81;
magicoder 571/230527c8a608; alfred 533/071cfb2d4c79; llama2-chat 815/e8d5b5a546d3; phi-3 254/605841622bcb;
phi-3 269/268b6082ceb7; phi-3 218/b0e53f5e7bae; chatqa 690/cd3636885332; falcon-instruct 356/2c575663fbb6;
falcon-instruct 340/f6084d6ec1cb; solar-instruct 409/b8e5e922a7a4; command-r 1204/9db2cf47ce03
"""
"""prompting 2.1."""

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_go_template_is_ollamas_byte_for_byte_and_can_be_parsed(name: str) -> None:
    known = _known().templates[name]
    assert hashlib.sha256(known.template.encode()).hexdigest() == TEMPLATES[name]
    assert "messages" in analyse(known.template).variables
    assert known.stop


def test_no_other_template_is_known() -> None:
    assert _known().templates.keys() == TEMPLATES.keys()


def test_the_references_are_ollamas_in_its_order() -> None:
    found = [f"{r.name} {r.n_characters}/{r.digest_start or sha256(r.text)}" for r in _known().references]
    assert found == [entry.strip() for entry in INDEX.replace("\n", " ").split(";")]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


REFERENCES = [r for r in _known().references if r.text]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: f"{r.name}-{r.n_characters}")
def test_a_reference_is_recognised_also_with_changes(reference: Reference) -> None:
    for changed in (reference.text, reference.text[:50] + "#" * 60 + reference.text[50:], reference.text[40:]):
        found = detect_template(changed)
        assert found is not None and found.name == reference.name


def test_a_hundred_changes_are_too_many() -> None:
    assert detect_template(CHATML + "#" * 99) is not None
    assert detect_template(CHATML + "#" * 100) is None


@pytest.mark.parametrize("text", ["{{ messages }}", "x" * 450, "a" * 1_000_000])
def test_other_templates_are_unknown(text: str) -> None:
    assert detect_template(text) is None


def test_a_reference_without_its_text_knows_only_itself() -> None:
    reference = Reference("chatml", "", 5, sha256("hello"))
    assert (reference.distance("hello"), reference.distance("hullo"), reference.distance("x" * 200)) == (0, 100, 100)


def test_a_match_comes_with_its_stop_strings() -> None:
    known = detect_template(CHATML)
    assert known is not None
    assert known.parameters_blob == b'{"stop":["\\u003c|im_start|\\u003e","\\u003c|im_end|\\u003e"]}\n'


def test_detection_is_quick() -> None:
    """Measured at 10 ms for the usual template, 5 ms for the longest; the bound leaves room for a busy machine."""
    longest = max(REFERENCES, key=lambda r: len(r.text)).text
    started = time.perf_counter()
    for text in (longest + "#", CHATML + "#", "{% for %}" * 60):
        detect_template(text)
    assert time.perf_counter() - started < 0.6
