# shellcheck shell=bash
# Sourced by tests/run and tests/vm/suite: counts skips, and fails on those that CI must not have.

# report MACHINE SKIPS PASSED FAILED: prints what was skipped and why, and the closing line; exits 1 on a failure.
# Tests that skipped themselves are among those that passed; the line tells them apart.
report() {
  local machine=$1 skips=$2 passed=$3 failed=$4 skipped reason
  skipped=$(wc -l <"$skips")
  if [ "$skipped" -gt 0 ]; then
    echo "skipped:"
    sort "$skips" | sed 's/^\([^\t]*\)\t/  \1: /'
  fi
  if [ "${CI:-}" = true ]; then
    while IFS=$'\t' read -r test reason; do
      if ! grep -qxF -e "$machine: $reason" -e "any: $reason" tests/allowed-skips; then
        echo "$test was skipped for a reason that tests/allowed-skips does not list for $machine: $reason" >&2
        failed=$((failed + 1)) passed=$((passed - 1)) skipped=$((skipped - 1))
      fi
    done <"$skips"
  fi
  mkdir -p target/results
  echo "$((passed - skipped)) $failed $skipped" >"target/results/$machine"
  echo "$((passed - skipped)) passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
