#!/bin/sh
# Prepares this checkout: sh scripts/setup.sh tools | run | dev
#
#   tools   .tools/bin/uv, which installs everything else
#   run     .venv with requirements/run.txt and this project, editable
#   dev     the same with requirements/dev.txt
#
# Needs Python 3.11 or newer and nothing else. Everything is checked against the hashes in requirements/, and nothing
# is written outside this directory but the caches of pip and uv. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
stop() {
    printf 'make: %s\n' "$*" >&2
    exit 1
}

# Prints the path of the first interpreter that is new enough.
find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        "$name" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null && return
    done
    stop "Python 3.11 or newer is needed, and ${PYTHON:-python3} is older or missing: install one (python.org," \
        "'brew install python3', 'apt-get install python3 python3-venv'), or name it: PYTHON=/path/to/python3 make"
}

install_tools() {
    python=$(find_python)
    rm -rf .tools
    # None of what pip would remark on (its own version, the PATH, root) matters here.
    set -- --quiet --disable-pip-version-check --no-warn-script-location \
        --root-user-action ignore --require-hashes -r requirements/tools.txt
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "Installing uv into .tools ($python)"
        "$python" -m venv .tools
        .tools/bin/python -m pip install "$@"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        say "Installing uv into .tools ($python, without venv)"
        "$python" -m pip install --target .tools/lib "$@"
        mkdir -p .tools/bin
        ln -s ../lib/bin/uv .tools/bin/uv
    else
        stop "$python has neither the module ensurepip nor pip: 'apt-get install python3-venv' brings both."
    fi
}

install_project() {
    export UV_PYTHON_DOWNLOADS=never
    if ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python)
        rm -rf .venv
        .tools/bin/uv venv --quiet --python "$python" .venv
    fi
    say "Installing requirements/$1.txt into .venv"
    set -- --quiet --python .venv/bin/python --require-hashes -r "requirements/$1.txt"
    .tools/bin/uv pip install "$@"
    .tools/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
}

case ${1:-} in
tools) install_tools ;;
run | dev) install_project "$1" ;;
*) stop "usage: sh scripts/setup.sh tools | run | dev" ;;
esac
