/* Seeded random calls of every kernel set that this machine can run, against loops that restate the header in the plainest
 * way. Built natively with sanitizers and for AArch64 by scripts/test-kernels.sh. Every buffer has exactly the size that a
 * call may touch. Usage: kernel_driver CALLS SEED [SET…]: each SET must exist. */
#include "vta_kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint32_t any(void) { /* SplitMix64 */
  uint64_t x = state += UINT64_C(0x9E3779B97F4A7C15);
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (uint32_t)(x >> 32) ^ (uint32_t)x;
}

static size_t below(size_t limit) { return any() % limit; }

static void *memory(size_t bytes) {
  /* Not zero, and not a multiple of the alignment of vectors. */
  uint8_t *found = malloc(bytes ? bytes : 1);
  if (!found) abort();
  for (size_t i = 0; i < bytes; i++) found[i] = (uint8_t)any();
  return found;
}

static void fail(const char *what, const char *set) {
  printf("kernel_driver: %s differs: %s\n", what, set);
  exit(1);
}

/* Bytes with more of the extremes than chance gives. */
static int8_t weight(void) {
  switch (below(8)) {
    case 0: return -128;
    case 1: return 127;
    case 2: return 0;
    default: return (int8_t)any();
  }
}

typedef struct {
  int8_t *lanes;
  uint8_t *packed;
} tile;

static tile new_tile(size_t block, const char *set) {
  tile t = {memory(block * block), memory(block * block)};
  const uint32_t empty = any() & any();
  const size_t one_in = below(4) ? 1 : 1 + below(block);
  for (size_t i = 0; i < block * block; i++) {
    t.lanes[i] = (empty >> (i % block / 4) & 1) || below(one_in) ? 0 : weight();
  }
  int32_t *corrections = memory(4 * block);
  const uint64_t used = vta_pack_tile(t.lanes, block, t.packed, corrections);
  for (size_t o = 0; o < block; o++) {
    int32_t sum = 0;
    for (size_t k = 0; k < block; k++) {
      if ((int8_t)t.packed[(k / 4 * block + o) * 4 + k % 4] != t.lanes[o * block + k]) fail("packing", set);
      if (t.lanes[o * block + k] && !(used >> (k / 4) & 1)) fail("the mask of used groups", set);
      sum += t.lanes[o * block + k];
    }
    if (corrections[o] != -128 * sum) fail("a correction", set);
  }
  free(corrections);
  return t;
}

enum { SEGMENTS_MAX = 3, RUNS_MAX = 6, TILES_MAX = 4, STEPS_MAX = 7 };

static vta_step new_step(size_t lanes) {
  static const vta_alu_op ops[] = {VTA_ALU_MIN, VTA_ALU_MAX, VTA_ALU_ADD, VTA_ALU_MUL, VTA_ALU_SHR, VTA_ALU_SHL};
  const vta_alu_op op = ops[below(6)];
  const int is_shift = op == VTA_ALU_SHR || op == VTA_ALU_SHL;
  int32_t *operands = memory(4 * lanes);
  for (size_t i = 0; i < lanes && is_shift; i++) operands[i] = (int32_t)below(32);
  return (vta_step){op, (vta_step_form)below(is_shift ? 2 : 4), operands};
}

/* One step on an output's sum and its other number. */
static void take(const vta_step *step, uint32_t *numbers, size_t output) {
  const int on_other = step->form == VTA_OTHER_BY_LANES || step->form == VTA_OTHER_BY_SUM;
  uint32_t *a = &numbers[on_other];
  uint32_t b = (uint32_t)step->lanes[output];
  if (step->form == VTA_SUM_BY_OTHER || step->form == VTA_OTHER_BY_SUM) b = numbers[!on_other];
  switch (step->op) {
    case VTA_ALU_MIN: *a = (int32_t)*a < (int32_t)b ? *a : b; break;
    case VTA_ALU_MAX: *a = (int32_t)*a > (int32_t)b ? *a : b; break;
    case VTA_ALU_ADD: *a += b; break;
    case VTA_ALU_MUL: *a *= b; break;
    case VTA_ALU_SHR: *a = (uint32_t)((int32_t)*a >> b); break;
    case VTA_ALU_SHL: *a <<= b; break;
    default: abort();
  }
}

static void check_tiles(const vta_kernel_set *set) {
  static const size_t blocks[] = {4, 8, 16, 16, 16, 32, 64};
  const size_t block = blocks[below(sizeof blocks / sizeof *blocks)];
  const size_t positions = 1 + below(20);
  const size_t columns = 1 + below(2);
  const int to_acc = (int)below(2);
  const size_t input_tiles = 1 + below(12);
  uint8_t *inputs = memory(input_tiles * block);
  if (below(4) == 0) memset(inputs, 0x80, input_tiles * block);
  tile tiles[TILES_MAX];
  for (size_t i = 0; i < TILES_MAX; i++) tiles[i] = new_tile(block, set->name);

  /* What each position adds up, modulo 2^32. */
  const size_t init_count = 1 + below(3);
  int32_t *init = memory(4 * block * columns * init_count);
  int32_t *inits = memory(4 * positions);
  uint32_t *expected = memory(4 * positions * columns * block);
  for (size_t p = 0; p < positions; p++) {
    inits[p] = (int32_t)(below(init_count) * block * columns);
    memcpy(expected + p * columns * block, init + inits[p], 4 * columns * block);
  }
  vta_segment segments[SEGMENTS_MAX];
  const size_t segment_count = below(SEGMENTS_MAX + 1);
  vta_step early[STEPS_MAX];
  const size_t early_count = below(2) ? 0 : 1 + below(STEPS_MAX);
  const size_t early_segments = below(SEGMENTS_MAX + 1);
  for (size_t s = 0; s < early_count; s++) {
    early[s] = new_step(block * columns);
    early[s].form = VTA_SUM_BY_LANES;
  }
  /* The last one takes the bias of the inputs behind it back. */
  int32_t *late = 0;
  if (early_count) {
    late = (int32_t *)early[early_count - 1].lanes;
    early[early_count - 1].op = VTA_ALU_ADD;
    memset(late, 0, 4 * block * columns);
  }
  for (size_t s = 0; s < segment_count; s++) {
    if (s == early_segments) {
      for (size_t p = 0; p < positions * columns * block; p++) {
        uint32_t numbers[2] = {expected[p], 0};
        for (size_t e = 0; e < early_count; e++) take(&early[e], numbers, p % (columns * block));
        expected[p] = numbers[0];
      }
    }
    const size_t run_count = below(RUNS_MAX + 1);
    vta_run *runs = memory(run_count * sizeof *runs);
    int32_t *places = memory(positions * 4);
    /* Runs stay inside a tile of inputs, so each may begin at any: negative offsets come from the shift. */
    const int32_t shift = (int32_t)(below(input_tiles) * block);
    for (size_t p = 0; p < positions; p++) places[p] = (int32_t)(below(input_tiles) * block);
    int32_t last = 0, first = INT32_MAX;
    for (size_t p = 0; p < positions; p++) {
      if (places[p] > last) last = places[p];
      if (places[p] < first) first = places[p];
    }
    for (size_t r = 0; r < run_count; r++) {
      const tile *own = &tiles[below(TILES_MAX)], *pair = &tiles[below(TILES_MAX)];
      const size_t groups = block / 4, group = below(groups);
      const size_t count = below(3) ? 1 + below(groups - group) : groups - group;
      const size_t spare = input_tiles - 1 - (size_t)(last - first) / block;
      const int32_t start = (int32_t)((below(spare + 1)) * block) - first;
      runs[r] = (vta_run){
        .inp = start - shift + (int32_t)(4 * group), .count = (int32_t)count, .wgt = own->packed + group * 4 * block,
        .pair = columns > 1 ? pair->packed + group * 4 * block : 0};
      for (size_t p = 0; p < positions; p++) {
        for (size_t o = 0; o < columns * block; o++) {
          const int8_t *w = (o < block ? own : pair)->lanes + o % block * block;
          for (size_t k = 4 * group; k < 4 * (group + count); k++) {
            const int8_t x = (int8_t)inputs[places[p] + start + (int32_t)k];
            expected[p * columns * block + o] += (uint32_t)(x * w[k]);
          }
        }
      }
    }
    segments[s] = (vta_segment){runs, run_count, places, shift};
  }

  /* Unsigned kernels: inputs with the bias, which `init` takes back. */
  for (size_t i = 0; i < input_tiles * block; i++) inputs[i] ^= set->input_bias;
  if (set->input_bias) {
    for (size_t s = 0; s < segment_count; s++) {
      for (size_t r = 0; r < segments[s].run_count; r++) {
        const vta_run *run = &segments[s].runs[r];
        for (size_t o = 0; o < columns * block; o++) {
          const int8_t *w = (const int8_t *)(o < block ? run->wgt : run->pair);
          for (size_t g = 0; g < (size_t)run->count; g++) {
            for (size_t k = 0; k < 4; k++) {
              if (late && s >= early_segments) {
                late[o] = (int32_t)((uint32_t)late[o] - 128u * (uint32_t)w[(g * block + o % block) * 4 + k]);
                continue;
              }
              for (size_t i = o; i < init_count * block * columns; i += block * columns) {
                init[i] = (int32_t)((uint32_t)init[i] - 128u * (uint32_t)w[(g * block + o % block) * 4 + k]);
              }
            }
          }
        }
      }
    }
  }

  /* Results of the first blocks, then those of the second ones, in random order. */
  const size_t size = to_acc ? 4 : 1;
  int32_t *results = memory(4 * positions);
  for (size_t p = 0; p < positions; p++) {
    const size_t other = below(p + 1);
    results[p] = results[other];
    results[other] = (int32_t)(p * block * size);
  }
  uint8_t *out = memory(size * block * columns * positions);
  uint8_t *wanted = memory(size * block * columns * positions);
  memcpy(wanted, out, size * block * columns * positions);
  int32_t *shifts = memory(4 * block * columns);
  for (size_t o = 0; o < block * columns; o++) shifts[o] = (int32_t)below(below(2) ? 32 : 12);
  int32_t *offsets = memory(4 * block * columns);
  if (below(2)) memset(offsets, 0, 4 * block * columns);
  const int32_t high = below(2) ? 127 : (int32_t)any(), low = below(2) ? -128 : (int32_t)any();
  vta_step steps[STEPS_MAX];
  const size_t step_count = to_acc || below(2) ? 0 : 1 + below(STEPS_MAX);
  for (size_t s = 0; s < step_count; s++) steps[s] = new_step(block * columns);
  for (size_t p = 0; p < positions; p++) {
    for (size_t o = 0; o < columns * block; o++) {
      const uint32_t sum = expected[p * columns * block + o];
      const size_t at = (o < block ? 0 : positions * block) + (size_t)results[p] / size + o % block;
      if (to_acc) {
        uint32_t lane;
        memcpy(&lane, wanted + 4 * at, 4);
        lane += sum;
        memcpy(wanted + 4 * at, &lane, 4);
      } else if (step_count) {
        uint32_t numbers[2] = {sum, 0};
        for (size_t s = 0; s < step_count; s++) take(&steps[s], numbers, o);
        wanted[at] = (uint8_t)numbers[0];
      } else {
        int32_t value = (int32_t)((uint32_t)((int32_t)sum >> shifts[o]) + (uint32_t)offsets[o]);
        if (value > high) value = high;
        if (value < low) value = low;
        wanted[at] = (uint8_t)value;
      }
    }
  }
  const vta_tiles call = {
    .inp = inputs, .segments = segments, .segment_count = segment_count, .position_count = positions, .block = block,
    .init = init, .inits = init_count > 1 ? inits : 0, .results = results, .pair = columns > 1 ? (ptrdiff_t)(positions * block * size) : 0,
    .acc = to_acc ? (int32_t *)out : 0, .out = to_acc ? 0 : out, .shift = to_acc ? 0 : shifts,
    .offset = to_acc ? 0 : offsets, .high = high, .low = low, .steps = steps, .step_count = step_count,
    .early = early, .early_count = early_count, .early_segments = early_segments};
  set->tiles(&call);
  if (memcmp(out, wanted, size * block * columns * positions)) fail(to_acc ? "accumulation" : "a stored sum", set->name);

  for (size_t s = 0; s < segment_count; s++) {
    free((void *)segments[s].runs);
    free((void *)segments[s].positions);
  }
  for (size_t i = 0; i < TILES_MAX; i++) {
    free(tiles[i].lanes);
    free(tiles[i].packed);
  }
  for (size_t s = 0; s < step_count; s++) free((void *)steps[s].lanes);
  for (size_t s = 0; s < early_count; s++) free((void *)early[s].lanes);
  void *const all[] = {inputs, init, inits, expected, results, out, wanted, shifts, offsets};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void check_maxima(void) {
  static const size_t blocks[] = {4, 8, 16, 16, 32};
  const size_t block = blocks[below(5)], count = 1 + below(9), taps = 1 + below(5), tiles = 1 + below(9);
  const uint8_t bias = below(2) ? 0x80 : 0;
  uint8_t *inputs = memory(tiles * block), *out = memory(count * block), *wanted = memory(count * block);
  int32_t *results = memory(4 * count);
  vta_segment segments[5];
  for (size_t s = 0; s < taps; s++) {
    const int32_t shift = (int32_t)below(50);
    int32_t *places = memory(4 * count);
    for (size_t p = 0; p < count; p++) places[p] = (int32_t)(below(tiles) * block) - shift;
    segments[s] = (vta_segment){0, 0, places, shift};
  }
  const int32_t low = (int32_t)below(256) - 128, high = (int32_t)below(256) - 128;
  for (size_t p = 0; p < count; p++) {
    results[p] = (int32_t)((count - 1 - p) * block);
    for (size_t lane = 0; lane < block; lane++) {
      int32_t most = -128;
      for (size_t s = 0; s < taps; s++) {
        const int8_t x = (int8_t)(inputs[segments[s].positions[p] + segments[s].inp + (ptrdiff_t)lane] ^ bias);
        if (x > most) most = x;
      }
      if (most > high) most = high;
      if (most < low) most = low;
      wanted[(size_t)results[p] + lane] = (uint8_t)most;
    }
  }
  const vta_tiles call = {
    .inp = inputs, .segments = segments, .segment_count = taps, .position_count = count, .block = block,
    .results = results, .out = out, .high = high, .low = low};
  vta_maxima(&call, bias);
  if (memcmp(out, wanted, count * block)) fail("a maximum", "all");
  for (size_t s = 0; s < taps; s++) free((void *)segments[s].positions);
  void *const all[] = {inputs, out, wanted, results};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static uint32_t shifted(int32_t a, int32_t amount) {
  return amount >= 0 ? (uint32_t)(a >> amount) : (uint32_t)a << -amount;
}

/* Section 3.5, one lane. */
static uint32_t alu(int op, int32_t a, int32_t b, int is_tensor) {
  switch (op) {
    case VTA_ALU_MIN: return (uint32_t)(a < b ? a : b);
    case VTA_ALU_MAX: return (uint32_t)(a > b ? a : b);
    case VTA_ALU_ADD: return (uint32_t)a + (uint32_t)b;
    case VTA_ALU_MUL: return (uint32_t)a * (uint32_t)b;
    case VTA_ALU_SHL: return (uint32_t)a << b;
    case VTA_ALU_SHR:
      if (!is_tensor) return (uint32_t)(a >> b);
      return b >= 0 ? shifted(a, b % 32) : (uint32_t)a << (-(int64_t)b % 32);
    case VTA_ALU_SHR_FIVE_BITS: return shifted(a, (int32_t)((uint32_t)b % 32) - ((uint32_t)b % 32 < 16 ? 0 : 32));
    case VTA_ALU_SHR_MASKED: return (uint32_t)(a >> ((uint32_t)b % 32));
    default: return (uint32_t)a << (-(int64_t)b & 31);
  }
}

static void check_alu(void) {
  static const size_t widths[] = {4, 8, 16, 16, 32, 64, 128};
  const size_t lanes = widths[below(sizeof widths / sizeof *widths)], tiles = 1 + below(9), count = below(12);
  const int is_tensor = (int)below(2), op = (int)below(is_tensor ? 9 : 6);
  if (is_tensor && op == VTA_ALU_SHL) return;
  int32_t *acc = memory(4 * lanes * tiles), *wanted = memory(4 * lanes * tiles);
  if (below(2)) {
    for (size_t i = 0; i < lanes * tiles; i++) acc[i] = (int32_t)below(80) - 40;
  }
  memcpy(wanted, acc, 4 * lanes * tiles);
  int32_t *dst = memory(4 * count), *src = memory(4 * count);
  const int is_shift = op == VTA_ALU_SHR || op == VTA_ALU_SHL;
  const int32_t value = is_shift ? (int32_t)below(32) : below(2) ? (int32_t)below(200) - 100 : (int32_t)any();
  for (size_t i = 0; i < count; i++) {
    dst[i] = (int32_t)(below(tiles) * lanes);
    src[i] = below(2) ? dst[i] : (int32_t)(below(tiles) * lanes);
    for (size_t lane = 0; lane < lanes; lane++) {
      int32_t *a = &wanted[(size_t)dst[i] + lane], b = wanted[(size_t)src[i] + lane];
      *a = (int32_t)(is_tensor ? alu(op, *a, b, 1) : alu(op, b, value, 0));
    }
  }
  if (is_tensor) {
    vta_alu_tensor(acc, dst, src, count, lanes, op);
  } else {
    vta_alu_immediate(acc, dst, src, count, lanes, op, value);
  }
  if (memcmp(acc, wanted, 4 * lanes * tiles)) fail(is_tensor ? "the ALU on tensors" : "the ALU on immediates", "all");
  void *const all[] = {acc, wanted, dst, src};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void check_transfers(void) {
  const size_t count = below(200);
  int32_t *acc = memory(4 * count);
  uint8_t *out = memory(count);
  vta_truncate(acc, out, count);
  for (size_t i = 0; i < count; i++) {
    if (out[i] != ((uint32_t)acc[i] & 0xFF)) fail("truncation", "all");
  }
  free(acc);
  free(out);
  vta_window w = {.rows = below(4), .row_bytes = below(80), .top = below(3), .left = below(20), .bias = below(2) ? 0x80 : 0};
  w.stride = w.row_bytes + below(9);
  w.pitch = w.left + w.row_bytes + below(20);
  w.height = w.top + w.rows + below(3);
  uint8_t *source = memory(w.rows ? (w.rows - 1) * w.stride + w.row_bytes : 0);
  w.from = source;
  w.to = memory(w.height * w.pitch);
  vta_load_window(&w);
  for (size_t row = 0; row < w.height; row++) {
    for (size_t i = 0; i < w.pitch; i++) {
      const int is_inside =
          row >= w.top && row < w.top + w.rows && i >= w.left && i < w.left + w.row_bytes;
      const uint8_t byte = is_inside ? source[(row - w.top) * w.stride + i - w.left] : 0;
      if (w.to[row * w.pitch + i] != (byte ^ w.bias)) fail("a window", "all");
    }
  }
  free(source);
  free(w.to);
}

int main(int argc, char **argv) {
  const long calls = argc > 2 ? atol(argv[1]) : 0;
  state = argc > 2 ? strtoull(argv[2], 0, 10) : 0;
  if (calls <= 0) {
    fprintf(stderr, "usage: kernel_driver CALLS SEED [SET…]\n");
    return 2;
  }
  const vta_kernel_set *const *sets;
  const size_t count = vta_kernel_sets(&sets);
  for (int i = 3; i < argc; i++) {
    size_t known = 0;
    while (known < count && strcmp(sets[known]->name, argv[i])) known++;
    if (known == count) {
      printf("kernel_driver: this machine has no kernels %s\n", argv[i]);
      return 1;
    }
  }
  for (long call = 0; call < calls; call++) {
    for (size_t i = 0; i < count; i++) check_tiles(sets[i]);
    check_alu();
    check_maxima();
    check_transfers();
  }
  for (size_t i = 0; i < count; i++) printf("%s ", sets[i]->name);
  printf("%ld calls each: equal\n", calls);
  return 0;
}
