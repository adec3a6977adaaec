#include "vta_kernels.h"

#include <math.h>
#include <string.h>

/* Simple loops: the compiler vectorises them, once per level of x86-64; the loader picks one. Not under the thread
 * sanitizer, which isn't there yet when the loader asks. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IS_THREAD_SANITIZED
#endif
#endif
#if defined(__x86_64__) && defined(__linux__) && !defined(IS_THREAD_SANITIZED)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORISED
#endif

uint64_t vta_pack_tile(const int8_t *tile, size_t block, uint8_t *packed, int32_t *corrections) {
  uint64_t used = 0;
  for (size_t group = 0; group < block / 4; group++) {
    uint32_t any = 0;
    for (size_t o = 0; o < block; o++) {
      uint32_t four;
      memcpy(&four, tile + o * block + group * 4, 4);
      memcpy(packed + (group * block + o) * 4, &four, 4);
      any |= four;
    }
    if (any) used |= (uint64_t)1 << group;
  }
  for (size_t o = 0; o < block; o++) {
    int32_t sum = 0;
    for (size_t k = 0; k < block; k++) sum += tile[o * block + k];
    corrections[o] = -128 * sum;
  }
  return used;
}

VECTORISED void vta_truncate(const int32_t *acc, uint8_t *out, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = (uint8_t)acc[i];
}

typedef uint8_t bytes64 __attribute__((vector_size(64)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

#define COPY(type, bias, to, from) \
  do {                             \
    type some;                     \
    memcpy(&some, from, sizeof some); \
    some ^= bias;                  \
    memcpy(to, &some, sizeof some); \
  } while (0)

/* Rows are mostly whole elements of 16 bytes: no loop over single bytes for what vectors leave over. */
VECTORISED void vta_load_window(const vta_window *w) {
  const size_t right = w->left + w->row_bytes;
  const bytes64 bias64 = (bytes64){0} + w->bias;
  const bytes16 bias16 = (bytes16){0} + w->bias;
  uint8_t *to = w->to;
  if (w->top) memset(to, w->bias, w->top * w->pitch);
  to += w->top * w->pitch;
  const uint8_t *from = w->from;
  for (size_t row = 0; row < w->rows; row++, to += w->pitch, from += w->stride) {
    if (w->left) memset(to, w->bias, w->left);
    uint8_t *inside = to + w->left;
    size_t i = 0;
    for (; i + 64 <= w->row_bytes; i += 64) COPY(bytes64, bias64, inside + i, from + i);
    for (; i + 16 <= w->row_bytes; i += 16) COPY(bytes16, bias16, inside + i, from + i);
    for (; i < w->row_bytes; i++) inside[i] = from[i] ^ w->bias;
    if (right < w->pitch) memset(to + right, w->bias, w->pitch - right);
  }
  const size_t below = w->height - w->top - w->rows;
  if (below) memset(to, w->bias, below * w->pitch);
}

static inline __attribute__((always_inline)) bytes16 larger(bytes16 a, bytes16 b) {
  const bytes16 is_larger = (bytes16)(a > b);
  return (a & is_larger) | (b & ~is_larger);
}

static inline __attribute__((always_inline)) bytes16 smaller(bytes16 a, bytes16 b) {
  const bytes16 is_smaller = (bytes16)(a < b);
  return (a & is_smaller) | (b & ~is_smaller);
}

VECTORISED void vta_maxima(const vta_tiles *t, uint8_t input_bias) {
  enum { LANES = 16 };
  /* As unsigned numbers, in the order of the signed ones. */
  const uint8_t flip = input_bias ^ 0x80, high = (uint8_t)(t->high + 128), low = (uint8_t)(t->low + 128);
  for (size_t p = 0; p < t->position_count; p++) {
    uint8_t *out = t->out + t->results[p];
    size_t o = 0;
    for (; o + LANES <= t->block; o += LANES) {
      const bytes16 flips = (bytes16){0} + flip;
      bytes16 most = {0};
      for (const vta_segment *s = t->segments; s < t->segments + t->segment_count; s++) {
        bytes16 x;
        memcpy(&x, t->inp + s->inp + s->positions[p] + o, sizeof x);
        most = larger(most, x ^ flips);
      }
      most = larger(smaller(most, (bytes16){0} + high), (bytes16){0} + low) ^ 0x80;
      memcpy(out + o, &most, sizeof most);
    }
    for (; o < t->block; o += LANES) {
      const size_t lanes = t->block - o;
      uint8_t most[LANES] = {0};
      for (const vta_segment *s = t->segments; s < t->segments + t->segment_count; s++) {
        const uint8_t *x = t->inp + s->inp + s->positions[p] + o;
        for (size_t i = 0; i < lanes; i++) {
          const uint8_t value = x[i] ^ flip;
          most[i] = value > most[i] ? value : most[i];
        }
      }
      for (size_t i = 0; i < lanes; i++) {
        const uint8_t least = most[i] < high ? most[i] : high;
        most[i] = (least > low ? least : low) ^ 0x80;
      }
      memcpy(out + o, most, lanes);
    }
  }
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

VECTORISED void vta_quantize(
    const float *values, int8_t *to, size_t count, float scale, float zero, float low, float high) {
  for (size_t i = 0; i < count; i++) {
    float value = rintf(values[i] / scale) + zero;
    value = value != value ? zero : value;
    value = value > low ? value : low;
    value = value < high ? value : high;
    to[i] = (int8_t)(int32_t)value;
  }
}
