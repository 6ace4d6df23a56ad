"""OpenAI's API as Ollama speaks it, under `/v1`.

One file per resource: `chat.py`, `completions.py`, `embeddings.py`, `models.py`, `transcriptions.py`, and the package
`responses/`. `schema.py` declares the bodies, `translate.py` makes internal requests of them, `messages.py` and
`images.py` what a chat is made of; `chat_replies.py` and `completion_replies.py` write events, `errors.py` errors.
"""
