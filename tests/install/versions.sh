#!/usr/bin/env bash
# Tests with the oldest versions that pyproject.toml allows, or with the newest that there are:
#   tests/install/versions.sh oldest     # before a bound is changed, and before a release
#   tests/install/versions.sh newest     # every week
# Of the extras those that bring no torch. Needs uv (pip install uv) and a package index; makes an environment of its own.
set -euo pipefail
case "${1:-}" in
  oldest) resolution=lowest-direct ;;
  newest) resolution=highest ;;
  *) echo "give oldest or newest" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v uv > /dev/null || { echo "versions.sh needs uv: pip install uv" >&2; exit 2; }

uv venv --quiet --python "${PYTHON:-3.11}" "$work/env"
python="$work/env/bin/python"
install() { uv pip install --quiet --python "$python" "$@"; }
install --resolution "$resolution" -r "$root/pyproject.toml" \
  --extra density --extra measure --extra pool --extra remote --extra explore
uv pip freeze --python "$python" > "$work/chosen.txt"
cat "$work/chosen.txt"
# What tests need besides, in any version that leaves those chosen as they are.
install -c "$work/chosen.txt" pytest pytest-xdist hypothesis jsonschema nbformat
install --no-deps -e "$root"

# Old libraries warn of new ones that they are used with: only with the newest are warnings errors, as they are in `make test`.
warnings=()
[ "$1" = oldest ] && warnings=(-o filterwarnings=default --disable-warnings)
cd "$root"
env -u PYTHONPATH "$python" -m pytest -q -p no:cacheprovider "${warnings[@]}" \
  tests/schema tests/test_cli.py tests/test_cli_shell.py tests/test_experiment.py tests/test_ecosystem.py \
  tests/test_predict.py tests/test_run.py tests/test_filters.py tests/test_density.py tests/test_duplicates.py \
  tests/test_access.py tests/test_extending.py tests/report tests/worlds tests/notebooks tests/theory/test_theory_moments.py
