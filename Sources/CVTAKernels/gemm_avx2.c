#include "gemm_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

enum { POSITIONS_MAX = 4, LANES = 8 };

/* `finish` in registers. */
TARGET INLINE void finish_eight(const vta_tiles *t, size_t position, size_t column, size_t o, __m256i sums) {
  const ptrdiff_t at = t->results[position] + (column ? t->pair : 0);
  if (t->acc) {
    __m256i *acc = (__m256i *)((uint8_t *)t->acc + at + 4 * o);
    _mm256_storeu_si256(acc, _mm256_add_epi32(_mm256_loadu_si256(acc), sums));
    return;
  }
  if (t->step_count) {
    int32_t lanes[LANES];
    _mm256_storeu_si256((__m256i *)lanes, sums);
    finish(t, position, column, o, lanes, LANES);
    return;
  }
  const size_t lane = column * t->block + o;
  const __m256i shifted = _mm256_add_epi32(
      _mm256_srav_epi32(sums, _mm256_loadu_si256((const __m256i *)(t->shift + lane))),
      _mm256_loadu_si256((const __m256i *)(t->offset + lane)));
  const __m256i value =
      _mm256_max_epi32(_mm256_min_epi32(shifted, _mm256_set1_epi32(t->high)), _mm256_set1_epi32(t->low));
  const __m256i bytes = _mm256_shuffle_epi8(
      value, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)));
  const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64((__m128i *)(t->out + at + o), eight);
}

/* Horizontal addition works in halves; the permutation puts outputs back in order. */
TARGET INLINE __m256i total(__m256i low, __m256i high, __m256i init) {
  return _mm256_add_epi32(_mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xD8), init);
}

/* `count` positions by 8 outputs; that and `has_early` are constants after inlining, so that sums without early steps have all
 * registers. Products of sign-extended 16-bit pairs: lanes hold two partial
 * sums per output (inputs 0 and 1, 2 and 3 of each group), added at the end. */
TARGET INLINE void body(const vta_tiles *t, size_t first, size_t column, size_t o, const int count, const int has_early) {
  __m256i low[POSITIONS_MAX], high[POSITIONS_MAX];
  const uint8_t *x[POSITIONS_MAX];
  __m256i init[POSITIONS_MAX];
  UNROLL for (int m = 0; m < count; m++) {
    low[m] = high[m] = _mm256_setzero_si256();
    if (has_early) init[m] = _mm256_loadu_si256((const __m256i *)(init_of(t, first + (size_t)m) + column * t->block + o));
  }
  for (const vta_segment *segment = t->segments; segment < t->segments + t->segment_count; segment++) {
    if (has_early && segment == t->segments + t->early_segments) {
      UNROLL for (int m = 0; m < count; m++) {
        int32_t lanes[LANES];
        _mm256_storeu_si256((__m256i *)lanes, total(low[m], high[m], init[m]));
        take_steps(t->early, t->early_count, column * t->block + o, lanes, LANES);
        init[m] = _mm256_loadu_si256((const __m256i *)lanes);
        low[m] = high[m] = _mm256_setzero_si256();
      }
    }
    input_pointers(t, segment, first, count, x);
    for (const vta_run *run = segment->runs, *end = run + segment->run_count; run < end; run++) {
      const uint8_t *w = (column ? run->pair : run->wgt) + 4 * o;
      for (ptrdiff_t at = run->inp, stop = at + 4 * (ptrdiff_t)run->count; at < stop; at += 4, w += 4 * t->block) {
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 16)));
        UNROLL for (int m = 0; m < count; m++) {
          const __m256i inputs = _mm256_cvtepi8_epi16(_mm_set1_epi32(four_inputs(x[m] + at)));
          low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(inputs, w0));
          high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(inputs, w1));
        }
      }
    }
  }
  UNROLL for (int m = 0; m < count; m++) {
    if (!has_early) init[m] = _mm256_loadu_si256((const __m256i *)(init_of(t, first + (size_t)m) + column * t->block + o));
    finish_eight(t, first + (size_t)m, column, o, total(low[m], high[m], init[m]));
  }
}

#define GROUP(count) \
  TARGET static void group_##count(const vta_tiles *t, size_t first, size_t column, size_t o) { \
    body(t, first, column, o, count, 0); \
  } \
  TARGET static void early_group_##count(const vta_tiles *t, size_t first, size_t column, size_t o) { \
    body(t, first, column, o, count, 1); \
  }
GROUP(1)
GROUP(2)
GROUP(3)
GROUP(4)
#undef GROUP

TARGET void vta_tiles_avx2(const vta_tiles *t) {
  static void (*const groups_of[2][POSITIONS_MAX + 1])(const vta_tiles *, size_t, size_t, size_t) = {
      {0, group_1, group_2, group_3, group_4},
      {0, early_group_1, early_group_2, early_group_3, early_group_4}};
  if (t->block % LANES) {
    vta_tiles_portable(t);
    return;
  }
  EACH_GROUP(t, POSITIONS_MAX, first, count) {
    for (size_t column = 0; column <= (t->pair != 0); column++) {
      for (size_t o = 0; o < t->block; o += LANES) groups_of[t->early_count != 0][count](t, first, column, o);
    }
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
