"""`python -m server`: the server alone, without the command line around it."""

from __future__ import annotations

import sys

from server.serving import serve
from server.settings import from_environment

USAGE = "usage: python -m server [--with-builtin]\n"


def main(arguments: list[str]) -> int:
    """The exit status."""
    if not set(arguments) <= {"--with-builtin"}:
        sys.stderr.write(USAGE)
        return 2
    return serve(from_environment(), with_builtin="--with-builtin" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
