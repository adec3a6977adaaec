#include "gemm_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

/* M positions by 8 outputs. Products of sign-extended 16-bit pairs: lanes hold two partial sums per output (inputs 0 and 1,
 * 2 and 3 of each group), added at the end. */
#define KERNEL(M)                                                                                             \
  TARGET static void kernel_##M(                                                                              \
      const vta_gemm *g, const vta_position *at, uint8_t *accs, const uint8_t *inputs, size_t o) {            \
    const size_t block = g->block;                                                                            \
    __m256i low[M], high[M];                                                                                  \
    for (int m = 0; m < M; m++) low[m] = high[m] = _mm256_setzero_si256();                                    \
    for (size_t s = 0; s < g->step_count; s++) {                                                              \
      const ptrdiff_t offset = g->steps[s].inp;                                                               \
      const uint8_t *wgt = g->tiles[g->steps[s].wgt + g->wgt_shift] + 4 * o;                                  \
      for (size_t group = 0; group < block; group += 4, wgt += 4 * block) {                                   \
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)wgt));                       \
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(wgt + 16)));                \
        _Pragma("clang loop unroll(full)") for (int m = 0; m < M; m++) {                                      \
          int32_t x;                                                                                          \
          __builtin_memcpy(&x, inputs + at[m].inp + offset + group, 4);                                       \
          const __m256i wide = _mm256_cvtepi8_epi16(_mm_set1_epi32(x));                                       \
          low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(wide, w0));                                     \
          high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(wide, w1));                                   \
        }                                                                                                     \
      }                                                                                                       \
    }                                                                                                         \
    for (int m = 0; m < M; m++) {                                                                             \
      /* Horizontal addition works in halves; the permutation puts outputs back in order. */                  \
      const __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(low[m], high[m]), 0xD8);                \
      __m256i *acc = (__m256i *)(accs + at[m].acc + 4 * o);                                                   \
      _mm256_storeu_si256(acc, _mm256_add_epi32(_mm256_loadu_si256(acc), sums));                              \
    }                                                                                                         \
  }

KERNEL(4)
KERNEL(1)

TARGET void vta_gemm_avx2(const vta_gemm *g) {
  if (g->block % 8) {
    vta_gemm_portable(g);
    return;
  }
  const uint8_t *inputs = g->inp + g->inp_shift;
  uint8_t *accs = (uint8_t *)g->acc + g->acc_shift;
  const vta_position *at = g->positions;
  size_t rest = g->position_count;
  for (; rest >= 4; rest -= 4, at += 4) {
    for (size_t o = 0; o < g->block; o += 8) kernel_4(g, at, accs, inputs, o);
  }
  for (; rest >= 1; rest -= 1, at += 1) {
    for (size_t o = 0; o < g->block; o += 8) kernel_1(g, at, accs, inputs, o);
  }
}

TARGET double vta_peak_avx2(size_t rounds) {
  __m256i acc[8];
  const __m256i x = _mm256_set1_epi32((int)rounds), w = _mm256_set1_epi32((int)rounds + 1);
  for (int i = 0; i < 8; i++) acc[i] = _mm256_set1_epi32(i);
  for (size_t r = 0; r < rounds; r++) {
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; i++) {
      acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(x, w));
      __asm__ volatile("" : "+x"(acc[i]));
    }
  }
  for (int i = 1; i < 8; i++) acc[0] = _mm256_add_epi32(acc[0], acc[i]);
  volatile int sink = _mm256_extract_epi32(acc[0], 0);
  (void)sink;
  return 8.0 * 16.0 * (double)rounds;
}
#endif
