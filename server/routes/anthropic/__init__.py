"""Anthropic's API as Ollama speaks it: `/v1/messages`, and `/v1/messages/count_tokens`, which Ollama does not have.

`schema.py` declares the body, `blocks.py` translates what messages are made of, `translate.py` the rest, `estimate.py`
guesses what a prompt costs; `replies.py` writes events, `search.py` those of a search on the web, `errors.py` errors;
`messages.py` has the routes.
# Compat: http-api 9; Ollama anthropic/anthropic.go, middleware/anthropic.go 0.33.
"""
