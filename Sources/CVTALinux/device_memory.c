#include <string.h>

#include "CVTALinux.h"

// Bytes up to the first multiple of eight, words, and bytes behind the last one. `volatile` keeps the compiler from
// making wider or unaligned accesses of them.

static size_t bytes_to_word(const volatile void *address, size_t size) {
  size_t head = -(uintptr_t)address & 7;
  return head < size ? head : size;
}

void vta_copy_to_device(void *device, const void *source, size_t size) {
  volatile uint8_t *to = device;
  const uint8_t *from = source;
  for (size_t head = bytes_to_word(to, size); head > 0; head--, size--) *to++ = *from++;
  for (; size >= 8; size -= 8, to += 8, from += 8) {
    uint64_t word;
    memcpy(&word, from, 8);
    *(volatile uint64_t *)to = word;
  }
  for (; size > 0; size--) *to++ = *from++;
}

void vta_copy_from_device(void *target, const void *device, size_t size) {
  const volatile uint8_t *from = device;
  uint8_t *to = target;
  for (size_t head = bytes_to_word(from, size); head > 0; head--, size--) *to++ = *from++;
  for (; size >= 8; size -= 8, to += 8, from += 8) {
    uint64_t word = *(const volatile uint64_t *)from;
    memcpy(to, &word, 8);
  }
  for (; size > 0; size--) *to++ = *from++;
}

void vta_clear_device(void *device, size_t size) {
  volatile uint8_t *to = device;
  for (size_t head = bytes_to_word(to, size); head > 0; head--, size--) *to++ = 0;
  for (; size >= 8; size -= 8, to += 8) *(volatile uint64_t *)to = 0;
  for (; size > 0; size--) *to++ = 0;
}
