#include "gemm_kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#if defined(__clang__)
#define DOT __attribute__((target("dotprod")))
#else
#define DOT __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

/* `count` positions by `vectors` times four outputs, both constants after inlining; a group of four inputs is one lane of
 * a dot product. Whole tiles of inputs are loaded at once where there are four groups. */
DOT INLINE void dot_body(
    const vta_tiles *t, size_t first, size_t column, size_t o, const int count, const int vectors) {
  int32x4_t sums[4][4];
  const uint8_t *x[4];
  UNROLL for (int n = 0; n < vectors; n++) {
    UNROLL for (int m = 0; m < count; m++) {
      sums[m][n] = vld1q_s32(init_of(t, first + (size_t)m) + column * t->block + o + 4 * (size_t)n);
    }
  }
  for (const vta_segment *segment = t->segments; segment < t->segments + t->segment_count; segment++) {
    if (t->early_count && segment == t->segments + t->early_segments) {
      UNROLL for (int m = 0; m < count; m++) {
        int32_t lanes[16];
        UNROLL for (int n = 0; n < vectors; n++) vst1q_s32(lanes + 4 * n, sums[m][n]);
        take_steps(t->early, t->early_count, column * t->block + o, lanes, 4 * (size_t)vectors);
        UNROLL for (int n = 0; n < vectors; n++) sums[m][n] = vld1q_s32(lanes + 4 * n);
      }
    }
    input_pointers(t, segment, first, count, x);
    for (const vta_run *run = segment->runs, *end = run + segment->run_count; run < end; run++) {
      const int8_t *w = (const int8_t *)(column ? run->pair : run->wgt) + 4 * o;
      const size_t stride = 4 * t->block;
      ptrdiff_t at = run->inp;
      int32_t left = run->count;
      for (; left >= 4; left -= 4, at += 16) {
        int8x16_t inputs[4];
        UNROLL for (int m = 0; m < count; m++) inputs[m] = vld1q_s8((const int8_t *)x[m] + at);
#define GROUP(g)                                                                                          \
  UNROLL for (int n = 0; n < vectors; n++) {                                                              \
    const int8x16_t weights = vld1q_s8(w + 16 * n);                                                       \
    UNROLL for (int m = 0; m < count; m++) sums[m][n] = vdotq_laneq_s32(sums[m][n], weights, inputs[m], g); \
  }                                                                                                       \
  w += stride
        GROUP(0);
        GROUP(1);
        GROUP(2);
        GROUP(3);
#undef GROUP
      }
      for (; left > 0; left--, at += 4, w += stride) {
        UNROLL for (int m = 0; m < count; m++) {
          const int8x16_t inputs = vreinterpretq_s8_s32(vdupq_n_s32(four_inputs(x[m] + at)));
          UNROLL for (int n = 0; n < vectors; n++) sums[m][n] = vdotq_s32(sums[m][n], inputs, vld1q_s8(w + 16 * n));
        }
      }
    }
  }
  UNROLL for (int m = 0; m < count; m++) {
    int32_t lanes[16];
    UNROLL for (int n = 0; n < vectors; n++) vst1q_s32(lanes + 4 * n, sums[m][n]);
    finish(t, first + (size_t)m, column, o, lanes, 4 * (size_t)vectors);
  }
}

/* Without dot products: 16-bit products, added in pairs. Each vector of sums holds two outputs in two parts. */
INLINE void plain_body(
    const vta_tiles *t, size_t first, size_t column, size_t o, const int count, const int vectors) {
  int32x4_t low[2][4], high[2][4], init[2][4];
  const uint8_t *x[2];
  UNROLL for (int m = 0; m < count; m++) {
    UNROLL for (int n = 0; n < vectors; n++) {
      low[m][n] = high[m][n] = vdupq_n_s32(0);
      init[m][n] = vld1q_s32(init_of(t, first + (size_t)m) + column * t->block + o + 4 * (size_t)n);
    }
  }
  for (const vta_segment *segment = t->segments; segment < t->segments + t->segment_count; segment++) {
    if (t->early_count && segment == t->segments + t->early_segments) {
      UNROLL for (int m = 0; m < count; m++) {
        int32_t lanes[16];
        UNROLL for (int n = 0; n < vectors; n++) {
          vst1q_s32(lanes + 4 * n, vaddq_s32(init[m][n], vpaddq_s32(low[m][n], high[m][n])));
          low[m][n] = high[m][n] = vdupq_n_s32(0);
        }
        take_steps(t->early, t->early_count, column * t->block + o, lanes, 4 * (size_t)vectors);
        UNROLL for (int n = 0; n < vectors; n++) init[m][n] = vld1q_s32(lanes + 4 * n);
      }
    }
    input_pointers(t, segment, first, count, x);
    for (const vta_run *run = segment->runs, *end = run + segment->run_count; run < end; run++) {
      const int8_t *w = (const int8_t *)(column ? run->pair : run->wgt) + 4 * o;
      for (ptrdiff_t at = run->inp, stop = at + 4 * (ptrdiff_t)run->count; at < stop; at += 4, w += 4 * t->block) {
        int8x8_t inputs[2];
        UNROLL for (int m = 0; m < count; m++) inputs[m] = vreinterpret_s8_s32(vdup_n_s32(four_inputs(x[m] + at)));
        UNROLL for (int n = 0; n < vectors; n++) {
          const int8x16_t weights = vld1q_s8(w + 16 * n);
          UNROLL for (int m = 0; m < count; m++) {
            low[m][n] = vpadalq_s16(low[m][n], vmull_s8(inputs[m], vget_low_s8(weights)));
            high[m][n] = vpadalq_s16(high[m][n], vmull_s8(inputs[m], vget_high_s8(weights)));
          }
        }
      }
    }
  }
  UNROLL for (int m = 0; m < count; m++) {
    int32_t lanes[16];
    UNROLL for (int n = 0; n < vectors; n++) {
      vst1q_s32(lanes + 4 * n, vaddq_s32(init[m][n], vpaddq_s32(low[m][n], high[m][n])));
    }
    finish(t, first + (size_t)m, column, o, lanes, 4 * (size_t)vectors);
  }
}

typedef void kernel(const vta_tiles *, size_t first, size_t column, size_t o);

/* Four vectors for blocks of whole 16 outputs, one for others. */
#define KERNELS(ATTRIBUTE, BODY, M)                                                                          \
  ATTRIBUTE static void BODY##_##M(const vta_tiles *t, size_t first, size_t column, size_t o) {              \
    BODY(t, first, column, o, M, 4);                                                                         \
  }                                                                                                          \
  ATTRIBUTE static void BODY##_narrow_##M(const vta_tiles *t, size_t first, size_t column, size_t o) {       \
    BODY(t, first, column, o, M, 1);                                                                         \
  }
KERNELS(DOT, dot_body, 1)
KERNELS(DOT, dot_body, 2)
KERNELS(DOT, dot_body, 3)
KERNELS(DOT, dot_body, 4)
KERNELS(, plain_body, 1)
KERNELS(, plain_body, 2)

static void all(const vta_tiles *t, size_t most, kernel *const *whole, kernel *const *narrow) {
  const size_t lanes = t->block % 16 ? 4 : 16;
  kernel *const *kernels = lanes == 16 ? whole : narrow;
  EACH_GROUP(t, most, first, count) {
    for (size_t column = 0; column <= (t->pair != 0); column++) {
      for (size_t o = 0; o < t->block; o += lanes) kernels[count](t, first, column, o);
    }
  }
}

void vta_tiles_neon_dot(const vta_tiles *t) {
  static kernel *const whole[] = {0, dot_body_1, dot_body_2, dot_body_3, dot_body_4};
  static kernel *const narrow[] = {0, dot_body_narrow_1, dot_body_narrow_2, dot_body_narrow_3, dot_body_narrow_4};
  all(t, 4, whole, narrow);
}

void vta_tiles_neon(const vta_tiles *t) {
  static kernel *const whole[] = {0, plain_body_1, plain_body_2};
  static kernel *const narrow[] = {0, plain_body_narrow_1, plain_body_narrow_2};
  all(t, 2, whole, narrow);
}
#endif
