#!/bin/sh
# Fuzzes every decoder of vta-fuzz for some seconds each, from the committed seeds and what earlier runs added in
# .build-fuzz/corpus. Prints one row per decoder; inputs that crash, hang or take too much memory are kept.
# usage: scripts/fuzz.sh FOLDER-OF-THE-PROGRAM [DECODER...]; FUZZ_SECONDS: per decoder, 8 unless told.
set -u

program=$1/vta-fuzz
shift
seconds=${FUZZ_SECONDS:-8}
seeds=Tests/Fixtures/fuzz
work=.build-fuzz/corpus
findings=.build-fuzz/findings
# The fuzzer reports a trap itself; Swift's own backtraces take a minute each.
export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=symbolize=0:detect_leaks=0

[ $# -gt 0 ] || set -- $(ls "$seeds")
mkdir -p "$findings"
status=0
printf '%-16s %10s %9s %9s  %s\n' decoder executions coverage 'peak MiB' result
for decoder; do
  mkdir -p "$work/$decoder"
  log=$findings/$decoder.log
  rm -f "$findings/$decoder"-*
  VTA_FUZZ_DECODER=$decoder "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$findings/$decoder-" \
    "$work/$decoder" "$seeds/$decoder" >"$log" 2>&1 </dev/null
  code=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  result=ok
  found=$(ls "$findings/$decoder"-* 2>/dev/null | head -1)
  if [ $code -ne 0 ]; then
    result="FOUND ${found:-nothing kept}, see $log"
    status=1
  fi
  if [ $code -eq 0 ] && [ -z "$coverage" ]; then
    result="NOTHING MEASURED: the build has no coverage counters, see $log"
    status=1
  fi
  printf '%-16s %10s %9s %9s  %s\n' "$decoder" "${executions:--}" "${coverage:--}" "${peak:--}" "$result"
done
exit $status
