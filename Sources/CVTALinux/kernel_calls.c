#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "CVTALinux.h"

int64_t vta_read(int descriptor, void *buffer, size_t size, int64_t offset) {
  ssize_t count = offset < 0 ? read(descriptor, buffer, size) : pread(descriptor, buffer, size, offset);
  return count < 0 ? -errno : count;
}

int64_t vta_write(int descriptor, const void *bytes, size_t size) {
  ssize_t count = write(descriptor, bytes, size);
  return count < 0 ? -errno : count;
}

void vta_close(int descriptor) { close(descriptor); }

int vta_ioctl(int descriptor, unsigned long request, void *argument) {
  return ioctl(descriptor, request, argument) < 0 ? -errno : 0;
}

int64_t vta_read_link(const char *path, void *buffer, size_t size) {
  ssize_t count = readlink(path, buffer, size);
  return count < 0 ? -errno : count;
}

int vta_map(int descriptor, uint64_t offset, size_t size, void **address) {
  if (offset > INT64_MAX) return -EOVERFLOW;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)offset);
  if (memory == MAP_FAILED) return -errno;
  *address = memory;
  return 0;
}

int vta_wait_readable(int descriptor, int64_t nanoseconds) {
  struct pollfd entry = {.fd = descriptor, .events = POLLIN};
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  int count = ppoll(&entry, 1, nanoseconds < 0 ? NULL : &limit, NULL);
  if (count < 0) return -errno;
  return count > 0;
}

void vta_sleep(int64_t nanoseconds) {
  struct timespec left = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
  }
}
