#!/usr/bin/env bash
# Cut a film into a signed DASH and HLS presentation: ./segment.sh VIDEO [OUTDIR=public/dash]
# All the work is done by dashp2p/content/segment.py; ./segment.sh --help tells the options.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=python3
if [[ -x "$here/.venv/bin/python" ]]; then
    python=$here/.venv/bin/python
fi
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}

if ! "$python" -c 'import dashp2p.content.segment' 2>/dev/null; then
    if [[ $# -eq 0 ]]; then
        echo "Usage: ./segment.sh VIDEO [OUTDIR]" >&2
        exit 2
    fi
    # shellcheck source=scripts/setup.sh
    . "$here/scripts/setup.sh"
    set_up demo
    python=$here/.venv/bin/python
fi
exec "$python" -m dashp2p.content.segment --default-outdir "$here/public/dash" "$@"
