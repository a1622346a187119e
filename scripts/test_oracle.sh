#!/usr/bin/env bash
# The .slt files and the client scripts against a real PostgreSQL with pgvector: what passes here
# and on Nearlake is an answer on which both agree.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nearlake
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export NEARLAKE_VENV=${NEARLAKE_VENV:-$cache/venv}
export NODE_PATH=${NODE_PATH:-$cache/node/node_modules}
exec "$NEARLAKE_VENV/bin/python" scripts/oracle.py -- \
  env NEARLAKE_TEST_ORACLE=1 cargo test --quiet --test it -- slt:: clients::
