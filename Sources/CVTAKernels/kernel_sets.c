#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include "gemm_kernels.h"

#include <time.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif

static const vta_kernel_set portable = {"portable", 0, vta_tiles_portable};
#if defined(__x86_64__)
static const vta_kernel_set avx512vnni = {"avx512-vnni", 0x80, vta_tiles_avx512vnni};
static const vta_kernel_set avx2 = {"avx2", 0, vta_tiles_avx2};
#elif defined(__aarch64__)
static const vta_kernel_set neon_dot = {"neon-dot", 0, vta_tiles_neon_dot};
static const vta_kernel_set neon = {"neon", 0, vta_tiles_neon};
#endif

size_t vta_kernel_sets(const vta_kernel_set *const **sets) {
  static const vta_kernel_set *found[3];
  size_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")
      && __builtin_cpu_supports("avx512vl")) {
    found[count++] = &avx512vnni;
  }
  if (__builtin_cpu_supports("avx2")) found[count++] = &avx2;
#elif defined(__aarch64__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found[count++] = &neon_dot;
  found[count++] = &neon;
#endif
  found[count++] = &portable;
  *sets = found;
  return count;
}

#if defined(__x86_64__)
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}
#endif

double vta_int8_peak(double seconds) {
#if defined(__x86_64__)
  double (*run)(size_t) = 0;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni")) {
    run = vta_peak_avx512vnni;
  } else if (__builtin_cpu_supports("avx2")) {
    run = vta_peak_avx2;
  }
  if (!run) return 0;
  double best = 0;
  const double end = now() + seconds;
  do {
    const double start = now();
    const double work = run(100000);
    const double rate = work / (now() - start);
    if (rate > best) best = rate;
  } while (now() < end);
  return best;
#else
  (void)seconds;
  return 0;
#endif
}
