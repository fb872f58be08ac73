#!/usr/bin/env bash
# A crowd of N peers on this machine, with everything that it needs: ./run-demo.sh --help
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/scripts/setup.sh"
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

# Bad options and taken ports are said before anything is made or fetched: any Python can do that,
# and where there is none yet, set_up says so.
for python in "$venv/bin/python" "${PYTHON:-python3}"; do
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue
  status=0
  "$python" -m dashp2p.lab.demo_options "$@" || status=$?
  [ "$status" -ne 3 ] || exit 0 # help was asked for
  [ "$status" -eq 0 ] || exit "$status"
  break
done

set_up demo
exec "$venv/bin/python" -m dashp2p.lab.demo "$@"
