"""What can go wrong in a command. `str(error)` is what stands after `Error: `.

CliError                  the text is complete as it is
├── UsageError            wrong flags or arguments
├── ConnectionFailed      no answer from the server, or none that is HTTP
│   └── NotRunning        nobody listens at its address
└── StatusError           the server answered with a status of 400 or more
    └── Unauthorized      401, perhaps with an address to sign in at
"""

from __future__ import annotations


class CliError(Exception):
    """Root of this package's errors."""


class UsageError(CliError):
    """The command line cannot be understood."""


class ConnectionFailed(CliError):
    """The request did not reach the server, or its answer broke off."""


class NotRunning(ConnectionFailed):
    """The connection was refused."""


class StatusError(CliError):
    """An error status. `line` is the status line's code and reason, empty where the text is shown alone."""

    def __init__(self, status: int, message: str, *, line: str = "") -> None:
        # Compat: registry-store-cli 7.2 (api/types.go StatusError.Error).
        text = ": ".join(part for part in (line, message) if part)
        super().__init__(text or "something went wrong, please see the puna server logs for details")
        self.status = status
        self.message = message


class Unauthorized(StatusError):
    """401. `signin_url` is empty when the server named none."""

    def __init__(self, *, signin_url: str = "", line: str = "") -> None:
        super().__init__(401, "", line=line)
        self.signin_url = signin_url
