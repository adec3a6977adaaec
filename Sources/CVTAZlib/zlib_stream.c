#include "CVTAZlib.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

// zlib counts the bytes of a step in an unsigned int.
static uInt step(size_t length) { return length < UINT_MAX ? length : UINT_MAX; }

struct vta_zlib {
  z_stream stream;
  const unsigned char *input;
  size_t length;
};

struct vta_zlib *vta_inflate_begin(enum vta_zlib_format format, const void *input, size_t length) {
  struct vta_zlib *zlib = calloc(1, sizeof *zlib);
  if (!zlib) return NULL;
  if (inflateInit2(&zlib->stream, format) != Z_OK) {
    free(zlib);
    return NULL;
  }
  zlib->input = input;
  zlib->length = length;
  return zlib;
}

enum vta_zlib_status vta_inflate(struct vta_zlib *zlib, void *output, size_t *length) {
  z_stream *stream = &zlib->stream;
  uInt available = step(zlib->length), room = step(*length);
  stream->next_in = (Bytef *)zlib->input;
  stream->avail_in = available;
  stream->next_out = output;
  stream->avail_out = room;
  int status = inflate(stream, Z_NO_FLUSH);
  zlib->input = stream->next_in;
  zlib->length -= available - stream->avail_in;
  *length = room - stream->avail_out;
  switch (status) {
  case Z_OK: return VTA_ZLIB_MORE;
  case Z_STREAM_END: return VTA_ZLIB_END;
  // Neither read nor written although there is room.
  case Z_BUF_ERROR: return VTA_ZLIB_TRUNCATED;
  case Z_NEED_DICT: return VTA_ZLIB_NEEDS_DICTIONARY;
  case Z_MEM_ERROR: return VTA_ZLIB_NO_MEMORY;
  default: return VTA_ZLIB_DAMAGED;
  }
}

void vta_inflate_next_member(struct vta_zlib *zlib) { inflateReset(&zlib->stream); }

size_t vta_inflate_rest(const struct vta_zlib *zlib) { return zlib->length; }

const char *vta_inflate_message(const struct vta_zlib *zlib) {
  return zlib->stream.msg ? zlib->stream.msg : "it is not in this format";
}

void vta_inflate_end(struct vta_zlib *zlib) {
  inflateEnd(&zlib->stream);
  free(zlib);
}

struct vta_zlib *vta_deflate_begin(enum vta_zlib_format format, int effort) {
  struct vta_zlib *zlib = calloc(1, sizeof *zlib);
  if (!zlib) return NULL;
  if (deflateInit2(&zlib->stream, effort, Z_DEFLATED, format, MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) != Z_OK) {
    free(zlib);
    return NULL;
  }
  return zlib;
}

size_t vta_deflate_bound(struct vta_zlib *zlib, size_t length) { return deflateBound(&zlib->stream, length); }

enum vta_zlib_status vta_deflate(
    struct vta_zlib *zlib, const void *input, size_t length, void *output, size_t *output_length) {
  z_stream *stream = &zlib->stream;
  uInt room = step(*output_length);
  stream->next_in = (Bytef *)input;
  stream->avail_in = step(length);
  stream->next_out = output;
  stream->avail_out = room;
  int status = deflate(stream, Z_FINISH);
  *output_length = room - stream->avail_out;
  return status == Z_STREAM_END && length <= UINT_MAX ? VTA_ZLIB_END : VTA_ZLIB_MORE;
}

void vta_deflate_end(struct vta_zlib *zlib) {
  deflateEnd(&zlib->stream);
  free(zlib);
}
