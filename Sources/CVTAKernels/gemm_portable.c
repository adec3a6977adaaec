#include "gemm_kernels.h"

#include <string.h>

/* Any machine, any block that is a multiple of four. The compiler vectorises over outputs. */
void vta_gemm_portable(const vta_gemm *g) {
  const size_t block = g->block;
  const uint8_t *inputs = g->inp + g->inp_shift;
  uint8_t *accs = (uint8_t *)g->acc + g->acc_shift;
  for (size_t p = 0; p < g->position_count; p++) {
    int32_t *acc = (int32_t *)(accs + g->positions[p].acc);
    const uint8_t *inp = inputs + g->positions[p].inp;
    for (size_t s = 0; s < g->step_count; s++) {
      const int8_t *x = (const int8_t *)inp + g->steps[s].inp;
      const int8_t *w = (const int8_t *)g->tiles[g->steps[s].wgt + g->wgt_shift];
      for (size_t group = 0; group < block; group += 4) {
        const int32_t x0 = x[group], x1 = x[group + 1], x2 = x[group + 2], x3 = x[group + 3];
        for (size_t o = 0; o < block; o++, w += 4) {
          const int32_t sum = x0 * w[0] + x1 * w[1] + x2 * w[2] + x3 * w[3];
          acc[o] = (int32_t)((uint32_t)acc[o] + (uint32_t)sum);
        }
      }
    }
  }
}
