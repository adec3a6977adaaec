#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "CVTALinux.h"

int vta_peer_credentials(int socket, struct vta_peer *peer) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -errno;
  if (length != sizeof credentials) return -EPROTO;
  peer->uid = credentials.uid;
  peer->gid = credentials.gid;
  peer->pid = credentials.pid;
  return 0;
}

int vta_peer_groups(int socket, uint32_t *groups, size_t capacity) {
  _Static_assert(sizeof(gid_t) == sizeof *groups, "groups are 32-bit numbers");
  socklen_t length = capacity * sizeof *groups;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0) return -errno;
  return length / sizeof *groups;
}

int vta_group(const char *name, uint32_t *group) {
  struct group entry, *found = NULL;
  char buffer[65536];
  int error = getgrnam_r(name, &entry, buffer, sizeof buffer, &found);
  if (error != 0) return -error;
  if (!found) return -ENOENT;
  *group = found->gr_gid;
  return 0;
}

// Fills the address; 0 or -errno.
static int unix_address(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length + 1);
  return 0;
}

static int close_and_return(int descriptor, int error) {
  close(descriptor);
  return -error;
}

int vta_unix_listen(const char *path, uint32_t mode) {
  struct sockaddr_un address;
  int status = unix_address(path, &address);
  if (status < 0) return status;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  // bind() gives the file the socket's own mode less the umask; chmod() then sets what the umask took away.
  if (fchmod(descriptor, mode) != 0) return close_and_return(descriptor, errno);
  if (bind(descriptor, (const struct sockaddr *)&address, sizeof address) != 0)
    return close_and_return(descriptor, errno);
  if (chmod(path, mode) != 0 || listen(descriptor, SOMAXCONN) != 0) {
    int error = errno;
    unlink(path);
    return close_and_return(descriptor, error);
  }
  return descriptor;
}

int vta_unix_connect(const char *path) {
  struct sockaddr_un address;
  int status = unix_address(path, &address);
  if (status < 0) return status;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -errno;
  if (connect(descriptor, (const struct sockaddr *)&address, sizeof address) != 0)
    return close_and_return(descriptor, errno);
  return descriptor;
}

int vta_unix_path(int socket, char *path, size_t capacity) {
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  if (getsockname(socket, (struct sockaddr *)&address, &length) != 0) return -errno;
  if (length > sizeof address || address.sun_family != AF_UNIX) return -ENOTSOCK;
  // The kernel leaves out the terminator of a path that fills the field.
  size_t count = length - offsetof(struct sockaddr_un, sun_path);
  size_t used = strnlen(address.sun_path, count);
  if (used + 1 > capacity) return -ENAMETOOLONG;
  memcpy(path, address.sun_path, used);
  path[used] = 0;
  return 0;
}
