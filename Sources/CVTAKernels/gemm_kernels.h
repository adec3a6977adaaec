#ifndef GEMM_KERNELS_H
#define GEMM_KERNELS_H

#include "vta_kernels.h"

void vta_tiles_portable(const vta_tiles *);
#if defined(__x86_64__)
void vta_tiles_avx2(const vta_tiles *);
void vta_tiles_avx512vnni(const vta_tiles *);
double vta_peak_avx512vnni(size_t rounds);
double vta_peak_avx2(size_t rounds);
#elif defined(__aarch64__)
void vta_tiles_neon(const vta_tiles *);
void vta_tiles_neon_dot(const vta_tiles *);
#endif

/* Positions are taken in groups of nearly equal size: a last group of one would leave registers idle. */
#define EACH_GROUP(t, most, first, count)                                                              \
  for (size_t groups = ((t)->position_count + (most)-1) / (most), group = 0, first = 0, count; group < groups; \
       group++, first += count)                                                                        \
    if (count = (t)->position_count / groups + (group < (t)->position_count % groups), 1)

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Inputs of `count` positions, from `first` on. */
INLINE void input_pointers(
    const vta_tiles *t, const vta_segment *segment, size_t first, int count, const uint8_t **inputs) {
  UNROLL for (int m = 0; m < count; m++) {
    inputs[m] = t->inp + segment->inp + segment->positions[first + (size_t)m];
  }
}

/* The four input bytes at `at`, as they lie in memory. */
INLINE int32_t four_inputs(const uint8_t *at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return four;
}

INLINE const int32_t *init_of(const vta_tiles *t, size_t position) {
  return t->inits ? t->init + t->inits[position] : t->init;
}

INLINE int32_t step_value(vta_alu_op op, int32_t a, int32_t b) {
  switch (op) {
    case VTA_ALU_MIN: return a < b ? a : b;
    case VTA_ALU_MAX: return a > b ? a : b;
    case VTA_ALU_ADD: return (int32_t)((uint32_t)a + (uint32_t)b);
    case VTA_ALU_SHR: return a >> b;
    case VTA_ALU_SHL: return (int32_t)((uint32_t)a << b);
    case VTA_ALU_MUL: return (int32_t)((uint32_t)a * (uint32_t)b);
    default: return a;
  }
}

/* All steps, for `lanes` outputs (at most 16) from lane `lane` on. */
INLINE void take_steps(const vta_step *steps, size_t count, size_t lane, int32_t *sums, size_t lanes) {
  int32_t others[16] = {0};
  for (const vta_step *step = steps, *end = steps + count; step < end; step++) {
    const int on_other = step->form == VTA_OTHER_BY_LANES || step->form == VTA_OTHER_BY_SUM;
    int32_t *a = on_other ? others : sums;
    const int32_t *b = step->form == VTA_SUM_BY_OTHER ? others : step->form == VTA_OTHER_BY_SUM ? sums : step->lanes + lane;
    switch (step->op) {
#define EACH_LANE(op) \
  case op: \
    for (size_t i = 0; i < lanes; i++) a[i] = step_value(op, a[i], b[i]); \
    break
      EACH_LANE(VTA_ALU_MIN);
      EACH_LANE(VTA_ALU_MAX);
      EACH_LANE(VTA_ALU_ADD);
      EACH_LANE(VTA_ALU_SHR);
      EACH_LANE(VTA_ALU_SHL);
      EACH_LANE(VTA_ALU_MUL);
#undef EACH_LANE
      default: break;
    }
  }
}

/* Sums of one position for `lanes` outputs, from output `o` of a block on, to where they belong. */
INLINE void finish(
    const vta_tiles *t, size_t position, size_t column, size_t o, int32_t *sums, size_t lanes) {
  const ptrdiff_t at = t->results[position] + (column ? t->pair : 0);
  if (t->acc) {
    int32_t *acc = (int32_t *)((uint8_t *)t->acc + at) + o;
    for (size_t i = 0; i < lanes; i++) acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)sums[i]);
  } else if (t->step_count) {
    take_steps(t->steps, t->step_count, column * t->block + o, sums, lanes);
    for (size_t i = 0; i < lanes; i++) t->out[at + (ptrdiff_t)(o + i)] = (uint8_t)sums[i];
  } else {
    uint8_t *out = t->out + at + o;
    const int32_t *shift = t->shift + column * t->block + o, *offset = t->offset + column * t->block + o;
    for (size_t i = 0; i < lanes; i++) {
      int32_t value = (int32_t)((uint32_t)(sums[i] >> shift[i]) + (uint32_t)offset[i]);
      value = value < t->high ? value : t->high;
      value = value > t->low ? value : t->low;
      out[i] = (uint8_t)value;
    }
  }
}

#endif
