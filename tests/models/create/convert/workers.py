"""A child that does not do its work: it tells its process id as the bytes done, and waits until it is ended."""

from __future__ import annotations

import os
import sys

from models.create.messages import Written, encode_line

if __name__ == "__main__":
    sys.stdout.buffer.write(encode_line(Written(os.getpid(), 0)))
    sys.stdout.buffer.flush()
    sys.stdin.read()
