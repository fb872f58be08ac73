#!/usr/bin/env bash
# Builds the wheel, with the player page and its libraries in it, for machines that have no checkout:
#
#   scripts/build-wheel.sh              into dist/
#   scripts/build-wheel.sh FOLDER
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
target=${1:-$root/dist}
mkdir -p "$target"
target=$(cd "$target" && pwd)
set_up demo
# The build leaves a folder behind, which must not become part of the next wheel.
build_work=$(mktemp -d "${TMPDIR:-/tmp}/dashp2p-wheel.XXXXXX")
trap 'rm -rf "$build_work"' EXIT
mkdir "$build_work/public"
cp -R "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$root/dashp2p" "$root/twisted" "$build_work"
cp -R "$root/public/client" "$build_work/public/client"
find "$build_work" \( -name __pycache__ -o -name dropin.cache \) -prune -exec rm -rf {} +
attended "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-index \
  --no-build-isolation --wheel-dir "$build_work/made" "$build_work" || die "Could not build (see above)."
for wheel in "$build_work/made/"*.whl; do
  mv "$wheel" "$target/"
  say "$target/${wheel##*/}"
done
