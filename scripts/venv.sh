#!/usr/bin/env bash
# Makes the virtual environment $1 from the locked requirements $2, on a machine with nothing but Python.
# Makes it again when $2 has changed since (the stamp $1/.locked holds its hash), or when the old one is broken:
# an upgrade of the system's Python does that, and an install that was cut off.
set -euo pipefail
venv=$1 requirements=$2
fail() { printf '%s\n' "$*" >&2; exit 1; }

wanted=$(sha256sum "$requirements" | cut -d' ' -f1)
whole='import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ("celery", "fastapi", "supervisor", "pytest"))))'
if [ "$(cat "$venv/.locked" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c "$whole" 2>/dev/null; then exit 0; fi

base=${BASE_PYTHON:-python3}
command -v "$base" >/dev/null || fail "There is no $base on PATH: install Python 3.11 or later (on Debian: apt-get install python3 python3-venv)."
"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$base is $("$base" --version 2>&1): Python 3.11 or later is needed; install it and say which with BASE_PYTHON=python3.11."

if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
  # Debian cuts these two modules out of its python3 package.
  { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } ||
    fail "$base has no venv module: install it (on Debian: sudo apt-get install python3-venv) and run make again."
  echo "Installing python3-venv, which Debian keeps apart from python3" >&2
  apt-get -qq update </dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv </dev/null >&2
fi

echo "Making $venv from $requirements (about half a minute)" >&2
[ ! -e "$venv" ] || [ -f "$venv/pyvenv.cfg" ] || fail "$venv is there and is no Python environment: name another with VENV=folder."
rm -rf "$venv"
"$base" -m venv "$venv" || fail "$base -m venv $venv failed (see above): free the disk or choose another place with VENV=folder."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
  -r "$requirements" || { rm -rf "$venv"; fail "pip could not install $requirements (see above): check the network, then run make again."; }
echo "$wanted" >"$venv/.locked"
