#!/bin/sh
# Creates .venv in the checkout with the first Python >= 3.11 that is found (PYTHON=… names another), with pip in it.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# A candidate is run, not only looked up: the launcher of a version manager may be there without its Python.
suits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
    if suits "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$(python3 --version 2>&1) || found='no python3'
    fail "Beacon needs Python 3.11 or newer; found: ${PYTHON:+PYTHON=$PYTHON, }$found." \
        "Install one (on Debian or Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11"
fi

echo "Creating .venv with $("$python" --version) ($python)"
rm -rf .venv
trap 'rm -rf .venv' EXIT INT TERM  # a half-made environment would look like a whole one
hint="Install it (on Debian or Ubuntu: apt-get install python3-venv) and run make again."
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv .venv
elif "$python" -c 'import venv' 2>/dev/null && "$python" -m pip --version >/dev/null 2>&1; then
    # Debian keeps ensurepip in a package of its own; a pip that is there can fill the environment instead.
    "$python" -m venv --without-pip .venv
    "$python" -m pip --quiet --quiet --python .venv/bin/python install pip ||
        fail "$python lacks ensurepip, and its pip could not fill .venv." "$hint"
else
    fail "$python lacks venv, and pip to stand in for it." "$hint"
fi
trap - EXIT INT TERM
