#include "gemm_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Two vectors of 16 outputs that share inputs: of two blocks, or two parts of a wide one; or one vector alone. */
typedef struct {
  /* First output within its block; of the second vector, whether it belongs to the second block. */
  size_t output[2];
  int is_pair[2];
  __mmask16 mask;
  /* Lines to bring closer, two per run, up to the end. */
  const uint8_t *ahead, *ahead_end;
} columns;

enum { POSITIONS_MAX = 8 };

TARGET INLINE __m512i load(const void *from, __mmask16 mask, int is_masked) {
  return is_masked ? _mm512_maskz_loadu_epi32(mask, from) : _mm512_loadu_si512(from);
}

/* Steps for the sums of up to POSITIONS_MAX positions at once. */
TARGET __attribute__((noinline)) static void take_steps_of_all(
    const vta_step *steps, size_t step_count, int count, size_t lane, __mmask16 mask, __m512i *sums) {
  __m512i own[POSITIONS_MAX], other[POSITIONS_MAX];
  UNROLL for (int m = 0; m < POSITIONS_MAX; m++) {
    own[m] = sums[m < count ? m : 0];
    other[m] = _mm512_setzero_si512();
  }
  for (const vta_step *step = steps, *end = steps + step_count; step < end; step++) {
    switch (step->op * 4 + step->form) {
#define EACH(op, form, a, b, function) \
  case op * 4 + form: \
    UNROLL for (int m = 0; m < POSITIONS_MAX; m++) a[m] = function(a[m], b); \
    break
#define LANES(op, function)                                                                                  \
  case op * 4 + VTA_SUM_BY_LANES: {                                                                          \
    const __m512i lanes = _mm512_maskz_loadu_epi32(mask, step->lanes + lane);                                \
    UNROLL for (int m = 0; m < POSITIONS_MAX; m++) own[m] = function(own[m], lanes);                         \
    break;                                                                                                   \
  }                                                                                                          \
  case op * 4 + VTA_OTHER_BY_LANES: {                                                                        \
    const __m512i lanes = _mm512_maskz_loadu_epi32(mask, step->lanes + lane);                                \
    UNROLL for (int m = 0; m < POSITIONS_MAX; m++) other[m] = function(other[m], lanes);                     \
    break;                                                                                                   \
  }
#define ALL(op, function)                        \
  LANES(op, function)                            \
  EACH(op, VTA_SUM_BY_OTHER, own, other[m], function); \
  EACH(op, VTA_OTHER_BY_SUM, other, own[m], function)
      ALL(VTA_ALU_MIN, _mm512_min_epi32);
      ALL(VTA_ALU_MAX, _mm512_max_epi32);
      ALL(VTA_ALU_ADD, _mm512_add_epi32);
      ALL(VTA_ALU_MUL, _mm512_mullo_epi32);
      LANES(VTA_ALU_SHR, _mm512_srav_epi32)
      LANES(VTA_ALU_SHL, _mm512_sllv_epi32)
#undef ALL
#undef LANES
#undef EACH
    }
  }
  UNROLL for (int m = 0; m < POSITIONS_MAX; m++) {
    if (m < count) sums[m] = own[m];
  }
}

/* `count` positions by `width` vectors in registers; both are constants after inlining, `stride` is one for blocks of 16. */
TARGET INLINE void body(
    const vta_tiles *t, size_t first, const columns *c, const int count, const int width, const size_t stride,
    const int is_masked) {
  __m512i sums[POSITIONS_MAX][2];
  const uint8_t *x[POSITIONS_MAX];
  const uint8_t *ahead = c->ahead;
  UNROLL for (int n = 0; n < width; n++) {
    const size_t lane = (c->is_pair[n] ? t->block : 0) + c->output[n];
    if (t->inits) {
      UNROLL for (int m = 0; m < count; m++) {
        sums[m][n] = load(t->init + t->inits[first + (size_t)m] + lane, c->mask, is_masked);
      }
    } else {
      const __m512i init = load(t->init + lane, c->mask, is_masked);
      UNROLL for (int m = 0; m < count; m++) sums[m][n] = init;
    }
  }
  for (const vta_segment *segment = t->segments; segment < t->segments + t->segment_count; segment++) {
    if (t->early_count && segment == t->segments + t->early_segments) {
      UNROLL for (int n = 0; n < width; n++) {
        __m512i own[POSITIONS_MAX];
        UNROLL for (int m = 0; m < count; m++) own[m] = sums[m][n];
        take_steps_of_all(
            t->early, t->early_count, count, (c->is_pair[n] ? t->block : 0) + c->output[n],
            is_masked ? c->mask : 0xFFFF, own);
        UNROLL for (int m = 0; m < count; m++) sums[m][n] = own[m];
      }
    }
    input_pointers(t, segment, first, count, x);
    for (const vta_run *run = segment->runs, *end = run + segment->run_count; run < end; run++) {
      const uint8_t *w0 = (c->is_pair[0] ? run->pair : run->wgt) + 4 * c->output[0];
      const uint8_t *w1 = width < 2 ? 0 : (c->is_pair[1] ? run->pair : run->wgt) + 4 * c->output[1];
      const ptrdiff_t at = run->inp;
      if (ahead < c->ahead_end) {
        _mm_prefetch((const char *)ahead, _MM_HINT_T1);
        _mm_prefetch((const char *)ahead + 64, _MM_HINT_T1);
        ahead += 128;
      }
#define GROUP(g)                                                                                     \
  do {                                                                                               \
    const __m512i first_w = load(w0 + (g)*stride, c->mask, is_masked);                               \
    const __m512i second_w = width < 2 ? first_w : _mm512_loadu_si512(w1 + (g)*stride);              \
    UNROLL for (int m = 0; m < count; m++) {                                                         \
      const __m512i inputs = _mm512_set1_epi32(four_inputs(x[m] + at + 4 * (g)));                    \
      sums[m][0] = _mm512_dpbusd_epi32(sums[m][0], inputs, first_w);                                 \
      if (width > 1) sums[m][1] = _mm512_dpbusd_epi32(sums[m][1], inputs, second_w);                 \
    }                                                                                                \
  } while (0)
      if (run->count == 4) {
        GROUP(0);
        GROUP(1);
        GROUP(2);
        GROUP(3);
      } else {
        for (ptrdiff_t g = 0; g < run->count; g++) GROUP(g);
      }
    }
  }
  UNROLL for (int n = 0; n < width; n++) {
    const ptrdiff_t side = c->is_pair[n] ? t->pair : 0;
    if (t->acc) {
      UNROLL for (int m = 0; m < count; m++) {
        uint8_t *acc = (uint8_t *)t->acc + t->results[first + (size_t)m] + side + 4 * c->output[n];
        const __m512i sum = _mm512_add_epi32(load(acc, c->mask, is_masked), sums[m][n]);
        if (is_masked) {
          _mm512_mask_storeu_epi32(acc, c->mask, sum);
        } else {
          _mm512_storeu_si512(acc, sum);
        }
      }
    } else if (t->step_count) {
      __m512i own[POSITIONS_MAX];
      UNROLL for (int m = 0; m < count; m++) own[m] = sums[m][n];
      const __mmask16 mask = is_masked ? c->mask : 0xFFFF;
      take_steps_of_all(
          t->steps, t->step_count, count, (c->is_pair[n] ? t->block : 0) + c->output[n], mask, own);
      UNROLL for (int m = 0; m < count; m++) {
        uint8_t *out = t->out + t->results[first + (size_t)m] + side + c->output[n];
        _mm512_mask_cvtepi32_storeu_epi8(out, mask, own[m]);
      }
    } else {
      const size_t lane = (c->is_pair[n] ? t->block : 0) + c->output[n];
      const __m512i shift = load(t->shift + lane, c->mask, is_masked);
      const __m512i offset = load(t->offset + lane, c->mask, is_masked);
      const __m512i high = _mm512_set1_epi32(t->high), low = _mm512_set1_epi32(t->low);
      UNROLL for (int m = 0; m < count; m++) {
        uint8_t *out = t->out + t->results[first + (size_t)m] + side + c->output[n];
        const __m512i shifted = _mm512_add_epi32(_mm512_srav_epi32(sums[m][n], shift), offset);
        const __m512i value = _mm512_max_epi32(_mm512_min_epi32(shifted, high), low);
        if (is_masked) {
          _mm512_mask_cvtepi32_storeu_epi8(out, c->mask, value);
        } else {
          _mm_storeu_si128((__m128i *)out, _mm512_cvtepi32_epi8(value));
        }
      }
    }
  }
}

typedef void kernel(const vta_tiles *, size_t first, const columns *);

/* Blocks of 16, the usual case, have no offsets to keep in registers. */
#define KERNELS(M)                                                                                             \
  TARGET static void one_##M(const vta_tiles *t, size_t first, const columns *c) {                             \
    const columns whole = {{0, 0}, {0, 0}, 0, c->ahead, c->ahead_end};                                         \
    body(t, first, &whole, M, 1, 64, 0);                                                                       \
  }                                                                                                            \
  TARGET static void two_##M(const vta_tiles *t, size_t first, const columns *c) {                             \
    const columns whole = {{0, 0}, {0, 1}, 0, c->ahead, c->ahead_end};                                         \
    body(t, first, &whole, M, 2, 64, 0);                                                                       \
  }                                                                                                            \
  TARGET static void wide_##M(const vta_tiles *t, size_t first, const columns *c) {                            \
    body(t, first, c, M, 2, 4 * t->block, 0);                                                                  \
  }                                                                                                            \
  TARGET static void masked_##M(const vta_tiles *t, size_t first, const columns *c) {                          \
    body(t, first, c, M, 1, 4 * t->block, 1);                                                                  \
  }
KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)

#define TABLE(name) {0, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8}
static kernel *const one[] = TABLE(one), *const two[] = TABLE(two), *const wide[] = TABLE(wide),
                     *const masked[] = TABLE(masked);

TARGET static void all_positions(const vta_tiles *t, kernel *const *kernels, columns c) {
  size_t bytes = 0;
  for (const vta_segment *s = t->segments; s < t->segments + t->segment_count; s++) bytes += 128 * s->run_count;
  c.ahead = t->ahead;
  c.ahead_end = t->ahead ? t->ahead + t->ahead_bytes : 0;
  EACH_GROUP(t, POSITIONS_MAX, first, count) {
    kernels[count](t, first, &c);
    /* Each group of positions goes on where the one before has stopped. */
    if (c.ahead < c.ahead_end) c.ahead += bytes;
  }
}

void vta_tiles_avx512vnni(const vta_tiles *t) {
  const int has_pair = t->pair != 0;
  if (t->block == 16) {
    all_positions(t, has_pair ? two : one, (columns){0});
    return;
  }
  for (int pair = 0; pair <= has_pair; pair++) {
    if (t->block % 32 == 0) {
      for (size_t o = 0; o < t->block; o += 32) {
        const columns c = {.output = {o, o + 16}, .is_pair = {pair, pair}};
        all_positions(t, wide, c);
      }
    } else {
      for (size_t o = 0; o < t->block; o += 16) {
        const size_t lanes = t->block - o < 16 ? t->block - o : 16;
        const columns c = {.output = {o, 0}, .is_pair = {pair, 0}, .mask = (__mmask16)((1u << lanes) - 1)};
        all_positions(t, masked, c);
      }
    }
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
