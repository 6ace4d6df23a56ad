"""What schemathesis checks here: no failure of the server but those that the API specifies.

Runs in schemathesis' own environment, so nothing of the server is imported.
"""

from __future__ import annotations

import re

import schemathesis

SPECIFIED = re.compile(
    r"option \\\"\w+\\\" must be of|invalid format: |template: |there was an error signing out|account unavailable"
    r"|the input length exceeds|unknown renderer|unknown parser|pull model manifest: |unsupported quantization type"
    r"|quantization is only supported|json: cannot unmarshal|invalid digest format|no such file or directory"
    r"|unqualified name: "
)


@schemathesis.check
def no_unspecified_failure(ctx, response, case):  # type: ignore[no-untyped-def]
    text = response.content.decode("utf-8", "replace")
    assert response.status_code < 500 or SPECIFIED.search(text), f"{response.status_code} {text[:300]}"
