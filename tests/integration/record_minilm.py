"""Records the vectors that all-MiniLM-L6-v2 gives where its package runs it: by hand, where PyTorch is.

    uv venv reference && uv pip install --python reference/bin/python torch transformers==4.57.6
    reference/bin/python tests/integration/record_minilm.py MODEL_FOLDER

What sentence-transformers computes for this model: the mean of the vectors of all tokens, normalised.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TEXTS = (
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "What is the capital of France?",
    "Paris is the capital of France, on the river Seine.",
    "naïve café déjà vu — Straße",
    "你好,世界",
    "def add(a, b):\n    return a + b",
    "1234567890 3.14 2^10",
    "Internationalization is unbelievably hard.",
    "a",
)


def main() -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), AutoModel.from_pretrained(sys.argv[1]).eval()
    rows = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state[0]
        vector = torch.nn.functional.normalize(hidden.mean(0), dim=0)
        rows.append({"text": text, "vector": [round(float(x), 6) for x in vector]})
    lines = ",\n".join(json.dumps(row) for row in rows)
    (Path(__file__).parent / "minilm_vectors.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
