"""Prompts written in code, as Ollama has them for models without a usable template.

`table.py` finds a renderer by its name. `conversation.py`: what a renderer is given. `chatml.py`, `gemma_values.py`:
what several share. Every other module writes the prompts of one family.
"""
