#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

int64_t vta_write_at(int descriptor, const void *bytes, size_t size, int64_t offset) {
  ssize_t count = pwrite(descriptor, bytes, size, offset);
  return count < 0 ? -errno : count;
}

static int describe(int status, const struct stat *stat, struct vta_file *file) {
  if (status < 0) return -errno;
  *file = (struct vta_file){
      .device = stat->st_dev,
      .inode = stat->st_ino,
      .size = stat->st_size,
      .changed_nanoseconds = stat->st_ctim.tv_sec * INT64_C(1000000000) + stat->st_ctim.tv_nsec,
      .owner = stat->st_uid,
      .mode = stat->st_mode,
  };
  return 0;
}

int vta_file_status(int descriptor, struct vta_file *file) {
  struct stat stat;
  return describe(fstat(descriptor, &stat), &stat, file);
}

int vta_path_status(const char *path, struct vta_file *file) {
  struct stat stat;
  return describe(lstat(path, &stat), &stat, file);
}

int vta_shared_memory_open(const char *name) {
  // O_CLOEXEC and O_NOFOLLOW are added by the C library.
  int descriptor = shm_open(name, O_RDWR | O_NONBLOCK, 0);
  return descriptor < 0 ? -errno : descriptor;
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
