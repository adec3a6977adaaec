#include "gemm_kernels.h"

enum { LANES = 4 };

/* Any machine, any block that is a multiple of four. */
void vta_tiles_portable(const vta_tiles *t) {
  const size_t columns = t->pair ? 2 : 1;
  for (size_t p = 0; p < t->position_count; p++) {
    const int32_t *init = init_of(t, p);
    for (size_t column = 0; column < columns; column++) {
      for (size_t o = 0; o < t->block; o += LANES) {
        uint32_t sums[LANES];
        for (size_t i = 0; i < LANES; i++) sums[i] = (uint32_t)init[column * t->block + o + i];
        for (size_t s = 0; s < t->segment_count; s++) {
          if (t->early_count && s == t->early_segments) {
            take_steps(t->early, t->early_count, column * t->block + o, (int32_t *)sums, LANES);
          }
          const vta_segment *segment = &t->segments[s];
          const int8_t *inputs = (const int8_t *)t->inp + segment->inp + segment->positions[p];
          for (const vta_run *run = segment->runs; run < segment->runs + segment->run_count; run++) {
            const int8_t *x = inputs + run->inp;
            const int8_t *w = (const int8_t *)(column ? run->pair : run->wgt) + 4 * o;
            for (int32_t g = 0; g < run->count; g++, x += 4, w += 4 * t->block) {
              for (size_t i = 0; i < LANES; i++) {
                sums[i] += (uint32_t)(x[0] * w[4 * i] + x[1] * w[4 * i + 1] + x[2] * w[4 * i + 2] + x[3] * w[4 * i + 3]);
              }
            }
          }
        }
        finish(t, p, column, o, (int32_t *)sums, LANES);
      }
    }
  }
}
