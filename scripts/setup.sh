#!/usr/bin/env bash
# Installs what is missing: setup.sh build (enough for the server), setup.sh test (everything), or
# setup.sh model (the same, and fails where the model is not to be had).
# Debian packages when it may (root or sudo without a question); Python and Node packages into the
# cache folder. Where it may not, it names the one command to run. Prints nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-test}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nearlake
venv=${NEARLAKE_VENV:-$cache/venv}

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
header() { printf '#include <%s>\n' "$1" | g++ -E -x c++ - >/dev/null 2>&1; }

has cargo || fail 'Rust is missing; https://rustup.rs says how to install it'
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
version=$(cargo --version | awk '{print $2}')
[ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
  fail "cargo $version is older than $wanted; run: rustup update stable"

# Debian packages: what shows that one is there, and its name.
packages=()
has g++ || packages+=(g++)
has cmake || packages+=(cmake)
has g++ && header hwy/highway.h || packages+=(libhwy-dev)
if [ "$level" != build ]; then
  has g++ && header gtest/gtest.h || packages+=(libgtest-dev)
  has psql || packages+=(postgresql-client)
  has node || packages+=(nodejs)
  has npm || packages+=(npm)
  has chromium || packages+=(chromium)
  has python3 || packages+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
fi
if [ ${#packages[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  has apt-get || fail "install what these Debian packages hold: ${packages[*]}"
  as=()
  if [ "$(id -u)" != 0 ]; then
    { has sudo && sudo -n true 2>/dev/null; } ||
      fail "Debian packages are missing; run: sudo $install"
    as=(sudo -n)
  fi
  echo "setup: installing ${packages[*]}"
  log=$(mktemp)
  # shellcheck disable=SC2086 # the command is words
  if ! { "${as[@]}" apt-get update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive $install; } \
      >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "this did not work: $install"
  fi
  rm -f "$log"
fi
[ "$level" != build ] || exit 0

# Python packages, in a virtual environment that is remade when the list changes.
stamp=$(sha256sum scripts/requirements.txt | cut -d' ' -f1)
if [ "$(cat "$venv/.requirements" 2>/dev/null)" != "$stamp" ]; then
  echo "setup: Python packages into $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/requirements.txt ||
    fail "pip could not install scripts/requirements.txt"
  echo "$stamp" >"$venv/.requirements"
fi

# Prometheus' promtool, beside Python. Its Debian package is unpacked and not installed, since that
# would start a service.
fetch_promtool() {
  local folder=$1
  (cd "$folder" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; }) &&
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$folder/promtool" &&
    install -m 755 "$folder/promtool" "$venv/bin/promtool"
}
if ! has promtool && [ ! -x "$venv/bin/promtool" ]; then
  has dpkg-deb || fail 'promtool is missing; install Prometheus'
  echo "setup: promtool of the Debian package prometheus into $venv/bin"
  folder=$(mktemp -d)
  fetch_promtool "$folder" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; fail 'apt-get download prometheus did not work'; }
  rm -rf "$folder"
fi

# The model that makes vectors in tests, examples and the demo; tests that need it say when it is not
# there.
if ! "$venv/bin/python" scripts/model.py "$cache/models/all-MiniLM-L6-v2"; then
  [ "$level" != model ] || fail 'the model could not be prepared; the reason stands above'
  echo 'setup: the model is missing: what needs it will fail' >&2
fi

# Node packages, where node finds them by NODE_PATH.
stamp=$(sha256sum tests/clients/node/package-lock.json | cut -d' ' -f1)
if [ "$(cat "$cache/node/.lock" 2>/dev/null)" != "$stamp" ]; then
  echo "setup: Node packages into $cache/node"
  mkdir -p "$cache/node"
  cp tests/clients/node/package.json tests/clients/node/package-lock.json "$cache/node/"
  (cd "$cache/node" && npm ci --silent --no-audit --no-fund) || fail 'npm ci failed'
  echo "$stamp" >"$cache/node/.lock"
fi
