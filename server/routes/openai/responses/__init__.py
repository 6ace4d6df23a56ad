"""OpenAI's Responses API.

`items.py` reads the input (a union of items), `schema.py` the rest of the body, `translate.py` makes a chat of it;
`answer.py` is the response object, `replies.py` writes events; `route.py`.
# Compat: http-api 8.6; Ollama openai/responses.go 0.33.
"""
