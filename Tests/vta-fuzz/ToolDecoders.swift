private import Foundation
internal import VTACampaign
private import VTAModule

extension FuzzedDecoder {
  /// What vtactl reads from files of its own formats; `Vtactl` links to its sources, which are no library.
  static let tool: [FuzzedDecoder] = [
    // Checksums of chunks are put right first: damage that they show is not worth a search.
    FuzzedDecoder(name: "image") { bytes in
      MemoryFile.with(PNGChunks.sealed(bytes)) { path in
        for channels in [Image.Channels.gray, .rgb] {
          guard let image = try? Image.read(path, channels: channels) else { continue }
          if image.pixels.count != image.width * image.height * channels.rawValue {
            return "\(image.pixels.count) values for \(image.width)×\(image.height) pixels"
          }
          if image.pixels.count < 1 << 16 { _ = image.resized(width: 7, height: 5) }
        }
        return nil
      }
    },
    FuzzedDecoder(name: "npz") { bytes in
      MemoryFile.with(bytes) { path in
        _ = try? NPZ.read(path)
        return nil
      }
    },
    FuzzedDecoder(name: "preprocess") { bytes in
      MemoryFile.with(bytes) { path in
        guard let found = try? PreprocessingInput.read(path) else { return nil }
        return found.mean.count == found.channels.count ? nil : "\(found.mean.count) means"
      }
    },
  ]
}

/// A file in memory, since vtactl's decoders take paths.
enum MemoryFile {
  static func with(_ bytes: [UInt8], _ body: (String) -> String?) -> String? {
    let path = "/dev/shm/vta-fuzz-\(getpid())"
    defer { unlink(path) }
    do {
      try File.write(bytes, to: path)
    } catch {
      return "\(error)"
    }
    return body(path)
  }
}

/// PNG's chunks: length, type, contents, CRC-32 (ISO 3309).
enum PNGChunks {
  static func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    var start = 8
    while start + 12 <= bytes.count {
      let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= bytes.count - start - 12 else { break }
      let end = start + 8 + length
      let checksum = crc(bytes[start + 4..<end])
      for index in 0..<4 {
        bytes[end + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(24 - 8 * index))
      }
      start = end + 4
    }
    return bytes
  }

  private static func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var value: UInt32 = .max
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xedb8_8320 }
    }
    return ~value
  }
}
