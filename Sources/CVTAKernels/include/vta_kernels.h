/* Inner loops of the fast simulator. Plain C interfaces; which instruction set they use is chosen at run time.
 *
 * Tiles are VTA's (reference/vta-hardware.md, section 3.1): an INP tile has BATCH rows of BLOCK bytes, an ACC tile BATCH
 * rows of BLOCK 32-bit lanes, a WGT tile BLOCK outputs of BLOCK bytes. Elements are sign-extended to eight bits.
 *
 * A packed WGT tile is what the kernels read: for each group g of four inputs, for each output o, the bytes
 * w[o][4g] … w[o][4g+3]; then, per output, 32 bits with -128 times the sum of its weights, for kernels that
 * multiply unsigned inputs (x + 128).
 */
#ifndef VTA_KERNELS_H
#define VTA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Where one accumulator row is, and where the inputs of its first step are, in bytes from the scratchpads' starts. */
typedef struct {
  int32_t acc;
  int32_t inp;
} vta_position;

/* One tile product: inputs relative to the position, in bytes, and an index of the table of packed tiles; in a pair of
 * calls also the tile of the second. */
typedef struct {
  int32_t inp;
  int32_t wgt;
  int32_t pair_wgt;
} vta_step;

/* Every position accumulates every step: acc[o] += sum over k of inp[k] * w[o][k], modulo 2^32. */
typedef struct {
  int32_t *acc;
  const uint8_t *inp;
  const uint8_t *const *tiles;
  const vta_position *positions;
  size_t position_count;
  const vta_step *steps;
  size_t step_count;
  /* Added to every position and step: the trip of loops around the nest. */
  int32_t acc_shift;
  int32_t inp_shift;
  int32_t wgt_shift;
  /* Not zero: two calls at once, whose inputs are the same; the second's accumulators are so many bytes further, its
   * tiles are pair_wgt. Only for kernel sets that can. */
  int32_t pair_acc;
  /* 4, 8, 16, 32 … */
  size_t block;
} vta_gemm;

typedef struct {
  const char *name;
  /* XORed onto inputs when they are loaded: 0x80 where the kernel wants them unsigned. */
  uint8_t input_bias;
  /* Whether gemm takes pairs of calls of this block. */
  int (*takes_pairs)(size_t block);
  void (*gemm)(const vta_gemm *);
} vta_kernel_set;

/* The sets that this machine can run, best first; returns how many. */
size_t vta_kernel_sets(const vta_kernel_set *const **sets);

/* Bytes of a packed tile. */
static inline size_t vta_packed_tile_bytes(size_t block) { return block * block + 4 * block; }

/* Packs one tile of `block` outputs by `block` inputs (a multiple of four). */
void vta_pack_tile(const int8_t *tile, size_t block, uint8_t *packed);

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

/* acc[d] = op(acc[s], value) for each listed tile of `lanes` lanes, one after the other; offsets in lanes. */
void vta_alu_immediate(
    int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op, int32_t value);

/* acc[d] = op(acc[d], acc[s]), one tile after the other. VTA_ALU_SHR takes its direction from the sign of acc[s]
 * and its amount modulo 32. */
void vta_alu_tensor(int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op);

/* Low bytes of `count` lanes. */
void vta_truncate(const int32_t *acc, uint8_t *out, size_t count);

/* dst[i] = src[i] ^ bias. */
void vta_copy_biased(uint8_t *dst, const uint8_t *src, size_t count, uint8_t bias);

/* Multiply-accumulates per second of the best int8 dot product of the machine, from registers: what no kernel can exceed. */
double vta_int8_peak(double seconds);

#endif
