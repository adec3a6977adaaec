#!/bin/sh
# The parallel path of the simulator under the thread sanitizer: random programs on several threads, against the plain one.
# Builds only what that takes. Usage: scripts/test-threads.sh [SEEDS [FIRST_SEED]]; SANITIZE= builds without.
set -eu
cd "$(dirname "$0")/.."

sanitize=${SANITIZE--sanitize=thread}
build=.build/threads${sanitize:+-sanitized}
kernels=Sources/CVTAKernels
swift="swiftc -O -wmo $sanitize -swift-version 6 -package-name vta -enable-upcoming-feature ExistentialAny
  -enable-upcoming-feature MemberImportVisibility -enable-upcoming-feature InternalImportsByDefault -I $build"
clang=$(command -v clang || echo "$(dirname "$(readlink -f "$(command -v swift)")")/clang")
mkdir -p "$build"

printf 'module CVTAKernels { header "%s/%s/include/vta_kernels.h" export * }\n' "$PWD" $kernels >"$build/module.modulemap"
for file in "$kernels"/*.c; do
  # shellcheck disable=SC2086
  "$clang" -O2 -g ${sanitize:+-f${sanitize#-}} -I$kernels/include -c "$file" -o "$build/$(basename "$file" .c).o"
done
# shellcheck disable=SC2046,SC2086
$swift -module-name VTA -emit-module -emit-module-path "$build/VTA.swiftmodule" -c -o "$build/VTA.o" \
  $(find Sources/VTA -name '*.swift')
# shellcheck disable=SC2086
$swift -module-name threads -o "$build/threads" Tests/threads/main.swift Tests/VTACampaign/Simulation/Layer*.swift \
  Sources/VTARuntime/Backends/WorkerTeam.swift Sources/VTARuntime/Device/Threads.swift "$build"/*.o
"$build/threads" "${1:-6}" "${2:-1}"
