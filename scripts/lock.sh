#!/usr/bin/env bash
# Writes requirements/*.txt anew: pinned, with hashes, valid for every Python and system that we
# support. Run it after a change to pyproject.toml or requirements/*.in, then run the tests.
#
#   scripts/lock.sh                 keep the pins that still satisfy the ranges
#   scripts/lock.sh --upgrade       take the newest of everything
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
if command -v uv >/dev/null; then
  uv=uv
else
  "${PYTHON:-python3}" -m venv "$tools/venv"
  "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
  uv=$tools/venv/bin/uv
fi

lock() { # lock OUTPUT SOURCE...: no index is named in the output, so each machine asks its own
  local output=$1
  shift
  "$uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command scripts/lock.sh --output-file "requirements/$output" ${upgrade[@]+"${upgrade[@]}"} "$@"
}
upgrade=("$@")

lock demo.txt pyproject.toml requirements/demo.in
lock tests.txt pyproject.toml requirements/demo.in requirements/tests.in -c requirements/demo.txt
lock ffmpeg.txt requirements/ffmpeg.in -c requirements/demo.txt
lock node.txt requirements/node.in
