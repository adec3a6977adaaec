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

/// A listening stream socket bound to `path`, which must not exist. The file never has more permissions than `mode`.
/// Close-on-exec. -ENAMETOOLONG if the path doesn't fit a socket address.
int vta_unix_listen(const char *path, uint32_t mode);

/// A stream socket connected to the one listening on `path`. Close-on-exec. Doesn't wait: -EAGAIN if the listener's
/// queue is full.
int vta_unix_connect(const char *path);

/// The path that a Unix socket is bound to, terminated; empty if it has none (unnamed or abstract).
int vta_unix_path(int socket, char *path, size_t capacity);

#endif
