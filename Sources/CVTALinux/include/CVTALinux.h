#ifndef CVTALINUX_H
#define CVTALINUX_H

// Linux calls that Swift can't make itself. Each returns 0 or a descriptor, or -errno, so that no Swift release
// between the call and the look at errno can change it.

#include <stddef.h>
#include <stdint.h>

struct vta_peer {
  uint32_t uid;
  uint32_t gid;
  int32_t pid;
};

/// Credentials of the process that connected this Unix socket (SO_PEERCRED, unix(7)).
int vta_peer_credentials(int socket, struct vta_peer *peer);

/// Groups of the process that connected this Unix socket, its own group not included (SO_PEERGROUPS). The number of
/// groups; -ERANGE if there are more than `capacity`.
int vta_peer_groups(int socket, uint32_t *groups, size_t capacity);

/// The number of a group of this system; -ENOENT if there is none of that name.
int vta_group(const char *name, uint32_t *group);

/// A POSIX shared memory object, readable and writable, close-on-exec (shm_open(3)).
int vta_shared_memory_open(const char *name);

/// A listening stream socket bound to `path`, which must not exist. The file never has more permissions than `mode`.
/// Close-on-exec. -ENAMETOOLONG if the path doesn't fit a socket address.
int vta_unix_listen(const char *path, uint32_t mode);

/// A stream socket connected to the one listening on `path`. Close-on-exec. Doesn't wait: -EAGAIN if the listener's
/// queue is full.
int vta_unix_connect(const char *path);

/// A socket for entries of the journal. Close-on-exec.
int vta_journal_open(void);

/// Sends an entry in the journal's own format to the datagram socket at `path`; one that is too large for a datagram goes
/// in a sealed file.
int vta_journal_send(int socket, const char *path, const void *data, size_t length);

/// The path that a Unix socket is bound to, terminated; empty if it has none (unnamed or abstract).
int vta_unix_path(int socket, char *path, size_t capacity);

/// What stat(2) tells. The C structure itself belongs to one Swift module or another, depending on what a target imports.
struct vta_file {
  uint64_t device;
  uint64_t inode;
  int64_t size;
  /// Of the last change to contents or attributes.
  int64_t changed_nanoseconds;
  uint32_t owner;
  /// S_IFMT and permissions.
  uint32_t mode;
};

int vta_file_status(int descriptor, struct vta_file *file);
/// Of the link itself, if it is one.
int vta_path_status(const char *path, struct vta_file *file);

/// read(2), or pread(2) if `offset` is not negative.
int64_t vta_read(int descriptor, void *buffer, size_t size, int64_t offset);
int64_t vta_write(int descriptor, const void *bytes, size_t size);
/// pwrite(2)
int64_t vta_write_at(int descriptor, const void *bytes, size_t size, int64_t offset);
void vta_close(int descriptor);
int vta_ioctl(int descriptor, unsigned long request, void *argument);

/// Where a symbolic link points, not terminated; its length.
int64_t vta_read_link(const char *path, void *buffer, size_t size);

/// A shared, readable and writable mapping.
int vta_map(int descriptor, uint64_t offset, size_t size, void **address);

/// Waits until there is something to read: 1, or 0 after `nanoseconds` (negative: no limit).
int vta_wait_readable(int descriptor, int64_t nanoseconds);

/// Signals don't shorten it.
void vta_sleep(int64_t nanoseconds);

// Device registers: the compiler keeps every access, in order and 32 bits wide.

static inline uint32_t vta_register_read(const volatile void *base, size_t offset) {
  return *(const volatile uint32_t *)((const volatile char *)base + offset);
}

static inline void vta_register_write(volatile void *base, size_t offset, uint32_t value) {
  *(volatile uint32_t *)((volatile char *)base + offset) = value;
}

/// All earlier writes to memory are visible to a bus master before any later register write.
static inline void vta_publish_memory(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__arm__)
  __asm__ volatile("dsb st" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/// No later read of memory is satisfied before the last register read.
static inline void vta_acquire_memory(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__arm__)
  __asm__ volatile("dmb" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// Memory that is mapped as device memory: the CPU may only touch it with aligned accesses of at most eight bytes.

void vta_copy_to_device(void *device, const void *source, size_t size);
void vta_copy_from_device(void *target, const void *device, size_t size);
void vta_clear_device(void *device, size_t size);

#endif
