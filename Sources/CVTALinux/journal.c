#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "CVTALinux.h"

int vta_journal_open(void) {
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return descriptor < 0 ? -errno : descriptor;
}

// The entry in a sealed file; the descriptor or -errno.
static int sealed_file(const void *data, size_t length) {
  int file = memfd_create("vtad-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -errno;
  const char *rest = data;
  while (length > 0) {
    ssize_t count = write(file, rest, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) goto failed;
    rest += count;
    length -= count;
  }
  if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0) return file;
failed:;
  int error = errno;
  close(file);
  return -error;
}

static int send_file(int socket, const struct sockaddr_un *address, int file) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof file)];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_name = (void *)address,
      .msg_namelen = sizeof *address,
      .msg_control = &control,
      .msg_controllen = sizeof control,
  };
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof file);
  memcpy(CMSG_DATA(header), &file, sizeof file);
  return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int vta_journal_send(int socket, const char *path, const void *data, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  if (sendto(socket, data, length, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) >= 0) return 0;
  if (errno != EMSGSIZE && errno != ENOBUFS) return -errno;
  int file = sealed_file(data, length);
  if (file < 0) return file;
  int status = send_file(socket, &address, file);
  close(file);
  return status;
}
