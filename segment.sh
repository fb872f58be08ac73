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
    echo "segment.sh: $python lacks what dashp2p needs (Python 3.10 or newer and its packages):" \
        "run ./run-demo.sh or ./run-tests.sh once, both set up .venv/" >&2
    exit 1
fi
exec "$python" -m dashp2p.content.segment --default-outdir "$here/public/dash" "$@"
