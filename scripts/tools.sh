#!/usr/bin/env bash
# Sees to it that commands are there; each argument is command:package-of-Debian. Root on Debian gets what is missing.
set -euo pipefail
packages=()
for pair in "$@"; do command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}"); done
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get -qq update </dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" </dev/null >&2
else
  echo "The tests need ${packages[*]}: install them (on Debian: sudo apt-get install ${packages[*]}) and run make again." >&2
  exit 1
fi
