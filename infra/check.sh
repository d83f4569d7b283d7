#!/usr/bin/env bash
# Installs what the checks need, then runs them all: lint, layers, dependencies, types, tests.
#   bash infra/check.sh [arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check.sh: $*" >&2; exit 1; }

install_packages() {
  command -v apt-get >/dev/null || fail "please install: $*"
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

usable_python() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && usable_python "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# Without a Docker engine the tests run Apache Kafka from its published jars.
if ! docker info >/dev/null 2>&1 && [ -z "${LEADSTREAM_TEST_KAFKA:-}" ]; then
  missing=()
  command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
  command -v mvn >/dev/null || missing+=(maven)
  command -v ip >/dev/null || missing+=(iproute2)  # cuts brokers off in the chaos tests
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
fi
# Counts the instructions of the hot path (tests/benchmarks/guard.py).
[ "$(uname)" != Linux ] || command -v valgrind >/dev/null || install_packages valgrind
# A real browser looks at the report.
missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
python=$(find_python) || { install_packages python3 python3-venv; python=$(find_python); } ||
  fail "needs Python 3.11 to 3.13"

venv=${LEADSTREAM_VENV:-.venv}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# The codec's extension is optional, and the gate must not test its stand-in alone.
missing=()
command -v "${CC:-cc}" >/dev/null || missing+=(gcc libc6-dev)
headers=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -f "$headers/Python.h" ] || missing+=("$(basename "$headers")-dev")
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
export LEADSTREAM_REQUIRE_NATIVE=1

pip_install() { "$1" -m pip install -q --disable-pip-version-check "${@:2}"; }
bin=$PWD/$venv/bin
pip_install "$bin/python" -e '.[dev]'
bench=$PWD/build/bench/bin/python
# Apart from the tests' own, whose Kafka client is newer than the benchmark's peers allow.
install_bench() {
  local wheel
  wheel=$(echo build/dist/*.whl)
  [ -x "$bench" ] || "$python" -m venv build/bench
  pip_install "$bench" "$wheel[bench]" &&
    pip_install "$bench" --no-deps --force-reinstall "$wheel"
}
# What users get is tested: a wheel, in which the heart of the streams is compiled. That takes two
# minutes of one core, beside the checks that need no wheel.
rm -rf build/shipped build/dist
mkdir -p build
{
  "$bin/python" -m build --outdir build/dist . &&
    pip_install "$bin/python" --no-deps --target build/shipped build/dist/*.whl &&
    install_bench
} >build/wheel.log 2>&1 &
wheel=$!

mkdir -p build/typing/leadstream
for package in infra schemas sinks streams; do
  ln -sfn "../../../$package" "build/typing/leadstream/$package"
done
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/lint-imports"
"$bin/python" tests/support/dependency_audit.py
(cd build/typing && MYPYPATH=. "$bin/mypy" --config-file ../../pyproject.toml -p leadstream)
# Most tests wait for servers: on two cores, three processes take less time than two.
# In the order of the folders, since the slowest files come first in it.
tests() {
  "$bin/python" -m pytest -n "${LEADSTREAM_TEST_PROCESSES:-3}" --dist loadfile \
    --no-loadscope-reorder "$@"
}
"$bin/python" -c 'import sys
from leadstream.streams.implementation import IS_COMPILED
sys.exit("check.sh: an editable installation must not be compiled" if IS_COMPILED else 0)'
# The same source interpreted, as where there is no C compiler, and with fewer examples than the
# wheel; with arguments, only the wheel.
[ $# -gt 0 ] || LEADSTREAM_TEST_EXAMPLES=0.25 tests -q tests/unit/test_domain_*.py tests/unit/test_stored.py tests/golden \
  tests/property/test_lead_*.py tests/property/test_crossings.py \
  tests/property/test_domain_calendar.py
wait "$wheel" || { tail -50 build/wheel.log >&2; fail "no wheel could be built, or not be installed"; }
export PYTHONPATH=$PWD/build/shipped LEADSTREAM_TEST_SHIPPED=$PWD/build/shipped
LEADSTREAM_TEST_WHEEL=$(echo "$PWD"/build/dist/*.whl)
export LEADSTREAM_TEST_WHEEL LEADSTREAM_TEST_BENCH=$bench
tests "$@"
