#!/bin/sh
# Install the client libraries that tests/clients uses beyond those of .venv, exactly as locked: the Python ones (which
# bring a hundred packages) into .cache/clients, the JavaScript ones beside their tests when Node is there.
# tools/setup.sh must have run. A run with nothing to do costs one hash.
set -eu
cd "$(dirname "$0")/.."

PYTHON_CLIENTS=tests/clients/frameworks
NODE_CLIENTS=tests/clients/javascript
stamp=.cache/clients/installed

sha() { if command -v sha256sum; then set -- sha256sum; else set -- shasum -a 256; fi >/dev/null; "$@"; }
wanted=$( (cat $PYTHON_CLIENTS/uv.lock $NODE_CLIENTS/package-lock.json tools/clients.sh; command -v npm || true; pwd) | sha)
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then exit 0; fi

echo "Installing client libraries for tests/clients"
UV_PROJECT_ENVIRONMENT="$PWD/.cache/clients" UV_PYTHON_DOWNLOADS=never \
    .cache/tools/bin/uv sync --quiet --frozen --project $PYTHON_CLIENTS --python "$PWD/.venv/bin/python"
if command -v npm >/dev/null 2>&1; then
    npm ci --silent --no-audit --no-fund --prefix $NODE_CLIENTS
fi
echo "$wanted" >$stamp
