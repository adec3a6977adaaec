#!/bin/sh
# Random calls of the C kernels against plain loops: natively under the address and undefined-behaviour sanitizers, and for
# AArch64 under user-mode emulation, with dot products and on a CPU without, from two compilers.
# Usage: scripts/test-kernels.sh [CALLS [SEED]]
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user

calls=${1:-1500}
seed=${2:-1}
# The one that came with Swift, if there is no other.
clang=$(command -v clang || echo "$(dirname "$(readlink -f "$(command -v swift)")")/clang")
build=.build/kernels
kernels=Sources/CVTAKernels
driver=Tests/kernels/kernel_driver.c
flags="-std=gnu11 -Wall -Wextra -Werror -O2 -I$kernels/include"
mkdir -p "$build"

# shellcheck disable=SC2086
"$clang" $flags -g -fuse-ld=lld -fsanitize=address,undefined -fno-sanitize-recover=all $kernels/*.c $driver -o "$build/native"
"$build/native" "$calls" "$seed"

# shellcheck disable=SC2086
aarch64-linux-gnu-gcc $flags -static $kernels/*.c $driver -o "$build/aarch64-gcc"
# Swift's clang is what compiles the kernels on a board.
# shellcheck disable=SC2086
"$clang" --target=aarch64-linux-gnu $flags -I/usr/aarch64-linux-gnu/include -c $kernels/gemm_neon.c -o "$build/gemm_neon.o"
# shellcheck disable=SC2086
aarch64-linux-gnu-gcc $flags -static $kernels/gemm_portable.c $kernels/kernel_sets.c $kernels/tiles.c $driver \
  "$build/gemm_neon.o" -o "$build/aarch64-clang"
for binary in "$build/aarch64-gcc" "$build/aarch64-clang"; do
  qemu-aarch64 -cpu max "$binary" $((calls / 3)) "$seed" neon-dot neon
  qemu-aarch64 -cpu cortex-a53 "$binary" $((calls / 3)) "$seed" neon
done
