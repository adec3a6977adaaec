#include "gemm_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Steps whose weights stay in the first-level cache while all positions use them: 64 tiles of 256 bytes. */
enum { CHUNK_BYTES = 16384, STEPS_MAX = 256 };

typedef struct {
  ptrdiff_t inp;
  const uint8_t *wgt;
  const uint8_t *pair_wgt;
} resolved_step;

/* M positions by 16 outputs, starting at output `o` of a block. Inputs are x + 128; the packed tile's last part takes
 * that back. */
#define KERNEL(NAME, M, LOAD, STORE)                                                                                              \
  TARGET static void NAME(                                                                               \
      const vta_position *at, uint8_t *accs, const uint8_t *inputs, const resolved_step *steps, size_t count,  \
      size_t block, size_t o, __m512i correction, __mmask16 mask) {                                                            \
    __m512i acc[M];                                                                                            \
    const uint8_t *inp[M];                                                                                     \
    for (int m = 0; m < M; m++) {                                                                              \
      acc[m] = _mm512_add_epi32(LOAD(mask, accs + at[m].acc + 4 * o), correction);                     \
      inp[m] = inputs + at[m].inp;                                                                             \
    }                                                                                                          \
    for (size_t s = 0; s < count; s++) {                                                                       \
      const ptrdiff_t offset = steps[s].inp;                                                                   \
      const uint8_t *wgt = steps[s].wgt + 4 * o;                                                               \
      for (size_t group = 0; group < block; group += 4, wgt += 4 * block) {                                    \
        const __m512i w = LOAD(mask, wgt);                                                             \
        _Pragma("clang loop unroll(full)") for (int m = 0; m < M; m++) {                                       \
          int32_t x;                                                                                           \
          __builtin_memcpy(&x, inp[m] + offset + group, 4);                                                    \
          acc[m] = _mm512_dpbusd_epi32(acc[m], _mm512_set1_epi32(x), w);                                       \
        }                                                                                                      \
      }                                                                                                        \
    }                                                                                                          \
    for (int m = 0; m < M; m++) STORE(accs + at[m].acc + 4 * o, mask, acc[m]);\
    (void)mask;                         \
  }

#define LOAD_ALL(mask, from) _mm512_loadu_si512(from)
#define STORE_ALL(to, mask, value) _mm512_storeu_si512(to, value)
KERNEL(kernel_8, 8, LOAD_ALL, STORE_ALL)
KERNEL(kernel_4, 4, LOAD_ALL, STORE_ALL)
KERNEL(kernel_2, 2, LOAD_ALL, STORE_ALL)
KERNEL(kernel_1, 1, LOAD_ALL, STORE_ALL)
/* Blocks of less than 16 outputs. */
KERNEL(masked_4, 4, _mm512_maskz_loadu_epi32, _mm512_mask_storeu_epi32)
KERNEL(masked_1, 1, _mm512_maskz_loadu_epi32, _mm512_mask_storeu_epi32)

/* M positions by two blocks of 16 outputs: each broadcast input serves both. */
#define PAIR_KERNEL(M)                                                                                           \
  TARGET static void pair_##M(                                                                                   \
      const vta_position *at, uint8_t *accs, ptrdiff_t pair_acc, const uint8_t *inputs,                          \
      const resolved_step *steps, size_t count, size_t block, size_t o, const __m512i correction[2]) {           \
    __m512i first[M], second[M];                                                                                 \
    const uint8_t *inp[M];                                                                                       \
    for (int m = 0; m < M; m++) {                                                                                \
      const uint8_t *acc = accs + at[m].acc + 4 * o;                                                             \
      first[m] = _mm512_add_epi32(_mm512_loadu_si512(acc), correction[0]);                                       \
      second[m] = _mm512_add_epi32(_mm512_loadu_si512(acc + pair_acc), correction[1]);                           \
      inp[m] = inputs + at[m].inp;                                                                               \
    }                                                                                                            \
    for (size_t s = 0; s < count; s++) {                                                                         \
      const ptrdiff_t offset = steps[s].inp;                                                                     \
      const uint8_t *wgt = steps[s].wgt + 4 * o, *pair_wgt = steps[s].pair_wgt + 4 * o;                          \
      for (size_t group = 0; group < block; group += 4, wgt += 4 * block, pair_wgt += 4 * block) {               \
        const __m512i w = _mm512_loadu_si512(wgt), pair_w = _mm512_loadu_si512(pair_wgt);                        \
        _Pragma("clang loop unroll(full)") for (int m = 0; m < M; m++) {                                         \
          int32_t x;                                                                                             \
          __builtin_memcpy(&x, inp[m] + offset + group, 4);                                                      \
          const __m512i inputs4 = _mm512_set1_epi32(x);                                                          \
          first[m] = _mm512_dpbusd_epi32(first[m], inputs4, w);                                                  \
          second[m] = _mm512_dpbusd_epi32(second[m], inputs4, pair_w);                                           \
        }                                                                                                        \
      }                                                                                                          \
    }                                                                                                            \
    for (int m = 0; m < M; m++) {                                                                                \
      uint8_t *acc = accs + at[m].acc + 4 * o;                                                                   \
      _mm512_storeu_si512(acc, first[m]);                                                                        \
      _mm512_storeu_si512(acc + pair_acc, second[m]);                                                            \
    }                                                                                                            \
  }

PAIR_KERNEL(8)
PAIR_KERNEL(4)
PAIR_KERNEL(2)
PAIR_KERNEL(1)

TARGET static void chunk(
    const vta_gemm *g, const uint8_t *inputs, uint8_t *accs, const resolved_step *steps, size_t count) {
  const size_t block = g->block;
  for (size_t o = 0; o < block; o += 16) {
    const __mmask16 mask = (__mmask16)(block - o < 16 ? (1u << (block - o)) - 1 : 0xFFFF);
    __m512i corrections[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (size_t s = 0; s < count; s++) {
      const size_t sums = block * block + 4 * o;
      const __m512i own = _mm512_maskz_loadu_epi32(mask, steps[s].wgt + sums);
      corrections[0] = _mm512_add_epi32(corrections[0], own);
      if (g->pair_acc) {
        corrections[1] = _mm512_add_epi32(corrections[1], _mm512_loadu_si512(steps[s].pair_wgt + sums));
      }
    }
    const __m512i correction = corrections[0];
    const vta_position *at = g->positions;
    size_t rest = g->position_count;
#define EACH(M, CALL) \
  for (; rest >= M; rest -= M, at += M) CALL
    if (g->pair_acc) {
      EACH(8, pair_8(at, accs, g->pair_acc, inputs, steps, count, block, o, corrections));
      EACH(4, pair_4(at, accs, g->pair_acc, inputs, steps, count, block, o, corrections));
      EACH(2, pair_2(at, accs, g->pair_acc, inputs, steps, count, block, o, corrections));
      EACH(1, pair_1(at, accs, g->pair_acc, inputs, steps, count, block, o, corrections));
    } else if (mask != 0xFFFF) {
      EACH(4, masked_4(at, accs, inputs, steps, count, block, o, correction, mask));
      EACH(1, masked_1(at, accs, inputs, steps, count, block, o, correction, mask));
    } else {
      EACH(8, kernel_8(at, accs, inputs, steps, count, block, o, correction, mask));
      EACH(4, kernel_4(at, accs, inputs, steps, count, block, o, correction, mask));
      EACH(2, kernel_2(at, accs, inputs, steps, count, block, o, correction, mask));
      EACH(1, kernel_1(at, accs, inputs, steps, count, block, o, correction, mask));
    }
  }
}

TARGET void vta_gemm_avx512vnni(const vta_gemm *g) {
  resolved_step steps[STEPS_MAX];
  size_t most = CHUNK_BYTES / (g->block * g->block) / (g->pair_acc ? 2 : 1);
  if (most > STEPS_MAX) most = STEPS_MAX;
  if (most < 4) most = 4;
  for (size_t first = 0; first < g->step_count; first += most) {
    const size_t left = g->step_count - first;
    const size_t count = left < most ? left : most;
    for (size_t s = 0; s < count; s++) {
      const vta_step *step = &g->steps[first + s];
      steps[s].inp = step->inp;
      steps[s].wgt = g->tiles[step->wgt + g->wgt_shift];
      steps[s].pair_wgt = g->pair_acc ? g->tiles[step->pair_wgt + g->wgt_shift] : 0;
    }
    chunk(g, g->inp + g->inp_shift, (uint8_t *)g->acc + g->acc_shift, steps, count);
  }
}

TARGET double vta_peak_avx512vnni(size_t rounds) {
  __m512i acc[12];
  const __m512i x = _mm512_set1_epi32((int)rounds), w = _mm512_set1_epi32((int)rounds + 1);
  for (int i = 0; i < 12; i++) acc[i] = _mm512_set1_epi32(i);
  for (size_t r = 0; r < rounds; r++) {
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 12; i++) {
      acc[i] = _mm512_dpbusd_epi32(acc[i], x, w);
      __asm__ volatile("" : "+v"(acc[i]));
    }
  }
  for (int i = 1; i < 12; i++) acc[0] = _mm512_add_epi32(acc[0], acc[i]);
  volatile int sink = _mm512_reduce_add_epi32(acc[0]);
  (void)sink;
  return 12.0 * 64.0 * (double)rounds;
}
#endif
