#!/usr/bin/env bash
# Builds the wheel and the sdist, installs them without extras for every Python that is to be had here, and tries every
# command (commands.py). Says which Pythons were not to be had. Needs uv (pip install uv) and a package index.
set -euo pipefail
PYTHONS=(3.11 3.12 3.13 3.14)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v uv > /dev/null || { echo "matrix.sh needs uv: pip install uv" >&2; exit 2; }

# An interpreter of a version: on the path, of pyenv, or of uv; nothing if there is none.
interpreter() {
  local each
  for each in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python "$(uv python find --no-project "$1" 2> /dev/null)"; do
    if [ "$("$each" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)" = "$1" ]; then
      "$each" -c 'import sys; print(sys.executable)'
      return
    fi
  done
}

# Without the variables of the caller, so that nothing but the package is imported.
alone() { env -u PYTHONPATH -u COLUMNS "$@"; }

uv build --quiet --out-dir "$work/dist" "$root"
wheel=("$work"/dist/*.whl) sdist=("$work"/dist/*.tar.gz)
ls -l "$wheel" "$sdist"

missing=() failed=() tried=()
try() {  # NAME INTERPRETER WHAT
  echo "== $1: $("$2" --version)"
  uv venv --quiet --python "$2" "$work/$1"
  if uv pip install --quiet --python "$work/$1/bin/python" "$3" && alone "$work/$1/bin/python" "$root/tests/install/commands.py"; then
    tried+=("$1")
  else
    failed+=("$1")
  fi
}

for version in "${PYTHONS[@]}"; do
  python=$(interpreter "$version")
  if [ -z "$python" ]; then
    missing+=("$version")
    continue
  fi
  try "wheel-$version" "$python" "$wheel"
  [ "${#tried[@]}" = 1 ] && try "sdist-$version" "$python" "$sdist"
done

# As somebody runs it who installs nothing.
if alone uvx --quiet --from "$wheel" crossfeed predict figure-4 --json > "$work/predicted.json" && [ -s "$work/predicted.json" ]; then
  tried+=("uvx")
else
  failed+=("uvx")
fi

echo "worked: ${tried[*]:-none}"
echo "not to be had here: ${missing[*]:-none}"
echo "failed: ${failed[*]:-none}"
[ "${#failed[@]}" = 0 ]
