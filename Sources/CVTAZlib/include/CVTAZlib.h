#ifndef CVTAZLIB_H
#define CVTAZLIB_H

// A stream of zlib's. Its own structure belongs to one Swift module or another, depending on what a target imports, and
// may not be moved in memory.

#include <stddef.h>

struct vta_zlib;

/// What a step has come to.
enum vta_zlib_status {
  /// There is more to come.
  VTA_ZLIB_MORE,
  /// The end of the data, or of one member of it.
  VTA_ZLIB_END,
  /// The input is used up, and its end was not found.
  VTA_ZLIB_TRUNCATED,
  VTA_ZLIB_NEEDS_DICTIONARY,
  VTA_ZLIB_DAMAGED,
  VTA_ZLIB_NO_MEMORY,
};

/// The container around deflate data, as zlib numbers it (inflateInit2 in zlib.h).
enum vta_zlib_format { VTA_ZLIB_RAW = -15, VTA_ZLIB_ZLIB = 15, VTA_ZLIB_GZIP = 31 };

/// Ready to read `input`, which must outlive the stream. NULL without memory.
struct vta_zlib *vta_inflate_begin(enum vta_zlib_format format, const void *input, size_t length);

/// The next bytes of the content: up to `*length`, which becomes how many there were. `*length` may not be 0.
enum vta_zlib_status vta_inflate(struct vta_zlib *stream, void *output, size_t *length);

/// Begins anew with what is left of the input, after VTA_ZLIB_END.
void vta_inflate_next_member(struct vta_zlib *stream);

/// What has not been read of the input.
size_t vta_inflate_rest(const struct vta_zlib *stream);

/// Why the data is damaged.
const char *vta_inflate_message(const struct vta_zlib *stream);

void vta_inflate_end(struct vta_zlib *stream);

/// Ready to compress with an effort of 1 to 9. NULL without memory.
struct vta_zlib *vta_deflate_begin(enum vta_zlib_format format, int effort);

/// How many bytes so much input becomes at most.
size_t vta_deflate_bound(struct vta_zlib *stream, size_t length);

/// Compresses all of the input, once. `*output_length`, which is at least that bound, becomes the number of bytes.
/// VTA_ZLIB_END if all went well.
enum vta_zlib_status vta_deflate(
    struct vta_zlib *stream, const void *input, size_t length, void *output, size_t *output_length);

void vta_deflate_end(struct vta_zlib *stream);

#endif
