#include "vta_kernels.h"

#include <string.h>

/* Simple loops: the compiler vectorises them, once per level of x86-64; the loader picks one. */
#if defined(__x86_64__) && defined(__linux__)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORISED
#endif

void vta_pack_tile(const int8_t *tile, size_t block, uint8_t *packed) {
  uint8_t *corrections = packed + block * block;
  for (size_t group = 0; group < block / 4; group++) {
    for (size_t o = 0; o < block; o++) memcpy(packed + (group * block + o) * 4, tile + o * block + group * 4, 4);
  }
  for (size_t o = 0; o < block; o++) {
    int32_t sum = 0;
    for (size_t k = 0; k < block; k++) sum += tile[o * block + k];
    sum *= -128;
    memcpy(corrections + 4 * o, &sum, 4);
  }
}

VECTORISED void vta_truncate(const int32_t *acc, uint8_t *out, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = (uint8_t)acc[i];
}

VECTORISED void vta_copy_biased(uint8_t *dst, const uint8_t *src, size_t count, uint8_t bias) {
  if (!bias) {
    memcpy(dst, src, count);
    return;
  }
  for (size_t i = 0; i < count; i++) dst[i] = src[i] ^ bias;
}

static inline int32_t wrapped_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

static inline int32_t shift(int32_t a, int32_t b) {
  return b >= 0 ? a >> (b & 31) : (int32_t)((uint32_t)a << ((0u - (uint32_t)b) & 31));
}

/* Tiles of the usual 16 lanes are one vector; source and destination may be the same tile, never parts of one. */
#define EACH_TILE(expression)                                        \
  if (lanes == 16) {                                                 \
    for (size_t t = 0; t < count; t++) {                             \
      int32_t *a = acc + dst[t];                                     \
      const int32_t *b = acc + src[t];                               \
      int32_t r[16];                                                 \
      for (size_t i = 0; i < 16; i++) r[i] = expression;             \
      for (size_t i = 0; i < 16; i++) a[i] = r[i];                   \
    }                                                                \
  } else {                                                           \
    for (size_t t = 0; t < count; t++) {                             \
      int32_t *a = acc + dst[t];                                     \
      const int32_t *b = acc + src[t];                               \
      for (size_t i = 0; i < lanes; i++) a[i] = expression;          \
    }                                                                \
  }                                                                  \
  break

VECTORISED void vta_alu_immediate(
    int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op, int32_t value) {
  switch (op) {
    case VTA_ALU_MIN: EACH_TILE(b[i] < value ? b[i] : value);
    case VTA_ALU_MAX: EACH_TILE(b[i] > value ? b[i] : value);
    case VTA_ALU_ADD: EACH_TILE(wrapped_add(b[i], value));
    case VTA_ALU_SHR: EACH_TILE(b[i] >> value);
    case VTA_ALU_SHL: EACH_TILE((int32_t)((uint32_t)b[i] << value));
    case VTA_ALU_MUL: EACH_TILE((int32_t)((uint32_t)b[i] * (uint32_t)value));
  }
}

VECTORISED void vta_alu_tensor(int32_t *acc, const int32_t *dst, const int32_t *src, size_t count, size_t lanes, int op) {
  switch (op) {
    case VTA_ALU_MIN: EACH_TILE(a[i] < b[i] ? a[i] : b[i]);
    case VTA_ALU_MAX: EACH_TILE(a[i] > b[i] ? a[i] : b[i]);
    case VTA_ALU_ADD: EACH_TILE(wrapped_add(a[i], b[i]));
    case VTA_ALU_SHR: EACH_TILE(shift(a[i], b[i]));
    case VTA_ALU_SHR_FIVE_BITS: EACH_TILE(shift(a[i], (int32_t)(((uint32_t)b[i] + 16) & 31) - 16));
    case VTA_ALU_SHR_MASKED: EACH_TILE(a[i] >> (b[i] & 31));
    case VTA_ALU_SHL_NEGATED: EACH_TILE((int32_t)((uint32_t)a[i] << ((0u - (uint32_t)b[i]) & 31)));
    case VTA_ALU_MUL: EACH_TILE((int32_t)((uint32_t)a[i] * (uint32_t)b[i]));
  }
}
