#!/usr/bin/env bash
# Sets up, then runs every check: ruff, mypy --strict and trial over tests/.
#
#   ./run-tests.sh                        everything
#   ./run-tests.sh tests.wire             only these tests (anything that trial takes)
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/scripts/setup.sh"
set_up tests
cd "$root"
exec "$venv/bin/python" scripts/run_checks.py "$@"
