"""What goes wrong inside a function of a template; the interpreter adds where."""

from __future__ import annotations


class CallError(Exception):
    """A function refuses its arguments; the text is Go's, after `error calling NAME: `."""
