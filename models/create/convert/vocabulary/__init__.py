"""Vocabularies: the files of a tokenizer as the keys of a GGUF file.

* `tokens.py`: a vocabulary as a value, and how it is written.
* `sentencepiece.py`: `tokenizer.model`; `tokenizer_json.py`: `tokenizer.json`, `vocab.txt`; `unigram.py`: T5's kind.
* `pretokenizers.py` (and its table, `pretokenizers.json`): how a byte-pair tokenizer splits its text.
* `special_tokens.py`: BOS, EOS and the like, which of them are added, chat templates.
"""
