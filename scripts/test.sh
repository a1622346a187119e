#!/usr/bin/env bash
# Everything that must hold, in one dev profile so that nothing is built twice. Goes on after a
# failure, and ends with one line: N passed, N failed.
set -uo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nearlake
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export NEARLAKE_VENV=${NEARLAKE_VENV:-$cache/venv}
export NODE_PATH=${NODE_PATH:-$cache/node/node_modules}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 broken=()

# step NAME COMMAND...: shows what the command says; counts its tests, or itself as one.
step() {
  local name=$1 began=$SECONDS good bad status
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$logs/$name"
  status=${PIPESTATUS[0]}
  read -r good bad < <(awk '
    /^test result: / { good += $4; bad += $6 }
    /tests passed, .* tests failed out of/ { good += $NF - $4; bad += $4 }
    END { print good + 0, bad + 0 }' "$logs/$name")
  if [ "$status" = 0 ]; then
    [ $((good + bad)) -gt 0 ] || good=1
  else
    # A step that breaks without naming a test, such as one that does not compile, is one failure.
    [ "$bad" -gt 0 ] || bad=1
    broken+=("$name")
  fi
  passed=$((passed + good)) failed=$((failed + bad))
  printf '== %s: %d passed, %d failed, %d s\n' "$name" "$good" "$bad" $((SECONDS - began))
}

# The build folder outlives a clone, and CMake refuses one that belongs to another source folder.
spfresh() {
  local build=$CARGO_TARGET_DIR/spfresh fresh=()
  grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/spfresh" "$build/CMakeCache.txt" || fresh=(--fresh)
  cmake "${fresh[@]}" -S spfresh -B "$build" -DSPFRESH_TESTS=ON >/dev/null &&
    cmake --build "$build" --parallel "$(nproc)" >/dev/null &&
    ctest --test-dir "$build" --output-on-failure
}

step format cargo fmt --check
# --all-targets throughout: another choice of targets is another choice of the dependencies'
# features, and builds them again.
step lints cargo clippy --quiet --all-targets -- -D warnings
step spfresh spfresh
step tests cargo test --quiet --all-targets --no-fail-fast
step doctests cargo test --quiet --doc

[ ${#broken[@]} = 0 ] || printf '\nbroken: %s\n' "${broken[*]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
