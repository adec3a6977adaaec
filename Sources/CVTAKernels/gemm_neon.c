#include "gemm_kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

/* Four positions by four outputs; a group of four inputs is one dot-product lane. */
__attribute__((target("dotprod"))) void vta_gemm_neon_dot(const vta_gemm *g) {
  const size_t block = g->block;
  const uint8_t *inputs = g->inp + g->inp_shift;
  uint8_t *accs = (uint8_t *)g->acc + g->acc_shift;
  for (size_t p = 0; p < g->position_count; p++) {
    const uint8_t *inp = inputs + g->positions[p].inp;
    int32_t *acc = (int32_t *)(accs + g->positions[p].acc);
    for (size_t o = 0; o < block; o += 4) {
      int32x4_t sum = vld1q_s32(acc + o);
      for (size_t s = 0; s < g->step_count; s++) {
        const int8_t *x = (const int8_t *)inp + g->steps[s].inp;
        const int8_t *w = (const int8_t *)g->tiles[g->steps[s].wgt + g->wgt_shift] + 4 * o;
        for (size_t group = 0; group < block; group += 4, w += 4 * block) {
          int32_t bits;
          __builtin_memcpy(&bits, x + group, 4);
          sum = vdotq_s32(sum, vreinterpretq_s8_s32(vdupq_n_s32(bits)), vld1q_s8(w));
        }
      }
      vst1q_s32(acc + o, sum);
    }
  }
}

/* Without dot products: 16-bit products, added in pairs. */
void vta_gemm_neon(const vta_gemm *g) {
  const size_t block = g->block;
  const uint8_t *inputs = g->inp + g->inp_shift;
  uint8_t *accs = (uint8_t *)g->acc + g->acc_shift;
  for (size_t p = 0; p < g->position_count; p++) {
    const uint8_t *inp = inputs + g->positions[p].inp;
    int32_t *acc = (int32_t *)(accs + g->positions[p].acc);
    for (size_t o = 0; o < block; o += 4) {
      int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);
      for (size_t s = 0; s < g->step_count; s++) {
        const int8_t *x = (const int8_t *)inp + g->steps[s].inp;
        const int8_t *w = (const int8_t *)g->tiles[g->steps[s].wgt + g->wgt_shift] + 4 * o;
        for (size_t group = 0; group < block; group += 4, w += 4 * block) {
          int32_t bits;
          __builtin_memcpy(&bits, x + group, 4);
          const int8x8_t inputs4 = vreinterpret_s8_s32(vdup_n_s32(bits));
          const int8x16_t weights = vld1q_s8(w);
          low = vpadalq_s16(low, vmull_s8(inputs4, vget_low_s8(weights)));
          high = vpadalq_s16(high, vmull_s8(inputs4, vget_high_s8(weights)));
        }
      }
      vst1q_s32(acc + o, vaddq_s32(vld1q_s32(acc + o), vpaddq_s32(low, high)));
    }
  }
}
#endif
