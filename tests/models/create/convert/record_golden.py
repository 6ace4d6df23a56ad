"""Records what llama.cpp's own converter makes of the tiny models: run it by hand, in an environment of its own.

    uv venv reference && uv pip install --python reference/bin/python torch transformers==4.57.6 sentencepiece protobuf
    reference/bin/python -m tests.models.create.convert.record_golden LLAMA_CPP [NAME…]

LLAMA_CPP: the sources of llama.cpp as they travel in llama-cpp-python's source distribution (`vendor/llama.cpp`).

The vocabularies are too small for upstream's table of pre-tokenizers, so their names are given; everything else is its
own doing.
"""

from __future__ import annotations

import json
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    source = Path(sys.argv[1])
    sys.path.insert(0, str(source / "gguf-py"))
    sys.path.insert(0, str(source))

    from tests.models.create.convert.adapter_cases import ADAPTERS
    from tests.models.create.convert.all_cases import CASES

    for name in sys.argv[2:] or (*CASES, *ADAPTERS):
        with tempfile.TemporaryDirectory() as scratch:
            if name in CASES:
                record(name, Path(scratch))
            else:
                record_adapter(name, source, Path(scratch))


def record(name: str, scratch: Path) -> None:
    import torch
    from conversion import ModelType, get_model_class
    from conversion.base import ModelBase, TextModel, get_model_architecture
    from gguf import LlamaFileType

    from tests.models.create.convert.all_cases import CASES
    from tests.models.create.convert.checkpoints import write_case
    from tests.models.create.convert.describe import describe

    case = CASES[name]
    directory = scratch / name
    write_case(case, directory)
    with torch.inference_mode():
        parts = [(ModelType.TEXT, name), *([(ModelType.MMPROJ, f"mmproj-{name}")] if case.sees else [])]
        for kind, title in parts:
            architecture = get_model_architecture(ModelBase.load_hparams(directory, False), kind)
            model_class = get_model_class(architecture, mmproj=kind is ModelType.MMPROJ)
            TextModel.get_vocab_base_pre = lambda self, tokenizer: case.pre
            out = scratch / f"{title}.gguf"
            model_class(directory, LlamaFileType.GUESSED, out).write()
            write_golden(title, describe(out))


def record_adapter(name: str, source: Path, scratch: Path) -> None:
    from tests.models.create.convert.adapter_cases import ADAPTERS
    from tests.models.create.convert.all_cases import CASES
    from tests.models.create.convert.checkpoints import write_case
    from tests.models.create.convert.describe import describe

    adapter, base = ADAPTERS[name]
    write_case(CASES[base], scratch / "base")
    write_case(adapter, scratch / name)
    out = scratch / "adapter.gguf"
    arguments = ["--base", str(scratch / "base"), "--outfile", str(out), str(scratch / name)]
    program = sys.argv
    try:
        sys.argv = ["convert_lora_to_gguf.py", *arguments]
        runpy.run_path(str(source / sys.argv[0]), run_name="__main__")
    finally:
        sys.argv = program
    write_golden(name, describe(out))


def write_golden(title: str, description: dict[str, Any]) -> None:
    GOLDEN.mkdir(exist_ok=True)
    text = json.dumps(description, ensure_ascii=True, separators=(",", ":"))
    (GOLDEN / f"{title}.json").write_text(text.replace("],", "],\n") + "\n")


if __name__ == "__main__":
    main()
