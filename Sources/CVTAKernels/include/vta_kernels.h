/* Inner loops of the fast simulator. Plain C interfaces; which instruction set they use is chosen at run time.
 *
 * Tiles are VTA's (reference/vta-hardware.md, section 3.1): an INP tile has BATCH rows of BLOCK bytes, an ACC tile BATCH
 * rows of BLOCK 32-bit lanes, a WGT tile BLOCK outputs of BLOCK bytes. Elements are sign-extended to eight bits.
 *
 * Kernels read packed WGT tiles: for each group g of four inputs, for each output o, the bytes w[o][4g] … w[o][4g+3].
 */
#ifndef VTA_KERNELS_H
#define VTA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Groups of four inputs: 4 bytes apart in the inputs, 4 * block bytes apart in the packed weights. */
typedef struct {
  /* Of the first group, in bytes from a position's inputs. */
  int32_t inp;
  int32_t count;
  const uint8_t *wgt;
  /* In a pair of blocks of outputs, the weights of the second. */
  const uint8_t *pair;
} vta_run;

/* Runs that all positions take, each from inputs of its own: positions[i] + inp bytes from the start of the inputs. */
typedef struct {
  const vta_run *runs;
  size_t run_count;
  const int32_t *positions;
  ptrdiff_t inp;
} vta_segment;

/* ALU of one instruction or of several with the same destinations, section 3.5: min, max, add, shift right, shift
 * left, multiply; all modulo 2^32, shifts by 0 … 31. */
typedef enum {
  VTA_ALU_MIN,
  VTA_ALU_MAX,
  VTA_ALU_ADD,
  VTA_ALU_SHR,
  VTA_ALU_SHL,
  VTA_ALU_MUL,
  /* Of tensors only: amounts as signed five bits; right modulo 32; left by the negated amount modulo 32. */
  VTA_ALU_SHR_FIVE_BITS,
  VTA_ALU_SHR_MASKED,
  VTA_ALU_SHL_NEGATED
} vta_alu_op;

/* Which of an output's two numbers changes, and by what. */
typedef enum { VTA_SUM_BY_LANES, VTA_OTHER_BY_LANES, VTA_SUM_BY_OTHER, VTA_OTHER_BY_SUM } vta_step_form;

/* Changes the sum, or another number of the same output, which starts as 0. Not for operations of tensors only; shifts come
 * with lanes, amounts in 0 … 31. */
typedef struct {
  vta_alu_op op;
  vta_step_form form;
  /* One lane per output; of two blocks in a pair. */
  const int32_t *lanes;
} vta_step;

/* For every position and every output o: init[o] + the sum over all segments, runs and inputs of inp[k] * w[o][k],
 * modulo 2^32. That is added to an accumulator, or goes through steps, is truncated to a byte and stored. */
typedef struct {
  const uint8_t *inp;
  const vta_segment *segments;
  size_t segment_count;
  size_t position_count;
  /* 4, 8, or a multiple of 16. */
  size_t block;
  /* One lane per output; of two blocks in a pair. */
  const int32_t *init;
  /* Where each position's lanes of `init` begin; NULL: all at the start. */
  const int32_t *inits;
  /* Where each position's results begin, in bytes from `acc` or `out`; no two the same. */
  const int32_t *results;
  /* Bytes from there to the results of a second block of outputs from the same inputs; 0: none. */
  ptrdiff_t pair;
  /* NULL: results go to `out`. */
  int32_t *acc;
  uint8_t *out;
  /* Of `out` only: max(min((sum >> shift[o]) + offset[o], high), low); amounts lie in 0 … 31. */
  const int32_t *shift;
  const int32_t *offset;
  int32_t high;
  int32_t low;
  /* Of `out` only: instead of shift and bounds, if there are any. */
  const vta_step *steps;
  size_t step_count;
  /* Steps with lanes for the sums of the first segments, before the others are added; without steps, there is one sum. */
  const vta_step *early;
  size_t early_count;
  size_t early_segments;
  /* What the next call reads first: weights that a kernel may bring closer meanwhile. */
  const uint8_t *ahead;
  size_t ahead_bytes;
} vta_tiles;

/* For every position and every lane of a block: the largest input at that lane, clipped, to `out`. Each segment gives one
 * input per position and has no runs; `high` and `low` are in int8's range. */
void vta_maxima(const vta_tiles *, uint8_t input_bias);

typedef struct {
  const char *name;
  /* XORed onto inputs when they are loaded: 0x80 where the kernel wants them unsigned. Such kernels compute with x + 128;
   * -128 times the sum of an output's weights belongs into `init` then. */
  uint8_t input_bias;
  void (*tiles)(const vta_tiles *);
} vta_kernel_set;

/* The sets that this machine can run, best first; returns how many. */
size_t vta_kernel_sets(const vta_kernel_set *const **sets);

/* Packs one tile of `block` outputs by `block` inputs (a multiple of four, at most 256) into block * block bytes, and puts
 * -128 times the sum of each output's weights into `corrections`. Returns which groups have a weight other than 0. */
uint64_t vta_pack_tile(const int8_t *tile, size_t block, uint8_t *packed, int32_t *corrections);

/* acc[d] = op(acc[s], value) for each listed tile of `lanes` lanes, one after the other; offsets in lanes. */
void vta_alu_immediate(
    int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op, int32_t value);

/* acc[d] = op(acc[d], acc[s]), one tile after the other. VTA_ALU_SHR takes its direction from the sign of acc[s]
 * and its amount modulo 32. */
void vta_alu_tensor(int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op);

/* Low bytes of `count` lanes. */
void vta_truncate(const int32_t *acc, uint8_t *out, size_t count);

/* Rows of bytes inside a padded block; all sizes in bytes but for heights. */
typedef struct {
  const uint8_t *from;
  size_t stride;
  /* The block: `height` rows at a distance of `pitch` bytes, all of them written. */
  uint8_t *to;
  size_t pitch;
  size_t height;
  size_t rows;
  size_t row_bytes;
  /* Rows above the first row, bytes before it. */
  size_t top;
  size_t left;
  /* XORed onto every byte; padding is 0. */
  uint8_t bias;
} vta_window;

void vta_load_window(const vta_window *);

/* clip(rint(x / scale) + zero, low, high), half to even; not-a-number becomes `zero`. The bounds lie in int8's range. */
void vta_quantize(const float *values, int8_t *to, size_t count, float scale, float zero, float low, float high);

/* Tells the CPU that this core waits for another. */
static inline void vta_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Multiply-accumulates per second of the best int8 dot product of the machine, from registers: what no kernel can exceed. */
double vta_int8_peak(double seconds);

#endif
