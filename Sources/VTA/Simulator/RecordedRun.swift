private import FoundationEssentials

/// A `.vtatrace` file: one accelerator run with the memory before and after it (layout: tools/vtatrace.py).
package struct RecordedRun: Sendable {
  package struct Segment: Sendable {
    package let address: UInt64
    package let byteCount: UInt64
    /// Shorter than the segment: zeros follow.
    package let before: [UInt8]
    /// `nil`: the run leaves the segment unchanged.
    package let after: [UInt8]?
  }

  /// All segments together: what boards set aside, so that a small file can't take the host's memory.
  package static let memoryBytesMax: UInt64 = 1 << 30

  package let target: Target
  package let instructionAddress: UInt64
  package let instructionCount: Int
  package let segments: [Segment]

  /// - Throws: ``RecordedRunError`` if the bytes are no complete version 1 trace.
  package init(_ bytes: [UInt8]) throws(RecordedRunError) {
    guard bytes.count >= 16, bytes.starts(with: Array("VTATRACE".utf8)) else { throw .notATrace }
    let version = Self.littleEndian(bytes[8..<12])
    guard version == 1 else { throw .version(version) }
    let length = Self.littleEndian(bytes[12..<16])
    guard length <= bytes.count - 16 else { throw .truncated("the header") }
    let header: Header
    do {
      header = try JSONDecoder().decode(Header.self, from: Data(bytes[16..<16 + length]))
    } catch {
      throw .header("it is not the JSON object that the format asks for")
    }
    let blobs = bytes[(16 + length)...]
    func blob(_ range: Header.Blob?, of segment: Header.Segment) throws(RecordedRunError) -> [UInt8]? {
      guard let range else { return nil }
      guard range.offset >= 0, range.length >= 0, range.offset <= blobs.count,
        range.length <= blobs.count - range.offset
      else { throw .truncated("a memory image") }
      guard UInt64(range.length) <= segment.size else {
        throw .header("a memory image is longer than its segment")
      }
      return Array(blobs[(blobs.startIndex + range.offset)...].prefix(range.length))
    }
    target = try Self.target(header)
    instructionAddress = header.instructionAddress
    instructionCount = header.instructionCount
    guard instructionCount >= 0, instructionCount < 1 << 24 else { throw .header("instruction_count") }
    var segments: [Segment] = []
    var total: UInt64 = 0
    for segment in header.segments {
      // Before anything is copied: many segments may name the same bytes of the file.
      guard segment.size <= Self.memoryBytesMax - total else {
        throw .header("its segments have more than \(Self.memoryBytesMax) bytes")
      }
      total += segment.size
      segments.append(
        Segment(
          address: segment.address, byteCount: segment.size,
          before: try blob(segment.before, of: segment) ?? [], after: try blob(segment.after, of: segment)))
    }
    self.segments = segments
  }

  /// Memory as it is before the run.
  package func memoryBefore() throws(MemoryFault) -> SimulatedMemory {
    let memory = SimulatedMemory()
    for segment in segments {
      try memory.map(address: segment.address, byteCount: segment.byteCount)
      try memory.bytes(at: segment.address, count: segment.before.count).copyBytes(from: segment.before)
    }
    return memory
  }

  /// The first address at which memory after a run differs from the recording; `nil` if none does.
  package func firstDifference(
    _ memory: SimulatedMemory, ignoring ignored: Range<UInt64> = 0..<0
  ) throws(MemoryFault) -> UInt64? {
    for segment in segments {
      let expected = segment.after ?? segment.before
      let found = try memory.bytes(at: segment.address, count: Int(segment.byteCount))
      for index in 0..<found.count
      where found[index] != (index < expected.count ? expected[index] : 0)
        && !ignored.contains(segment.address + UInt64(index))
      {
        return segment.address + UInt64(index)
      }
    }
    return nil
  }

  // MARK: The header

  private struct Header: Decodable {
    struct Blob: Decodable {
      let offset: Int
      let length: Int
    }
    struct Segment: Decodable {
      let address: UInt64
      let size: UInt64
      let before: Blob?
      let after: Blob?
    }
    enum CodingKeys: String, CodingKey {
      case config
      case profile
      case instructionAddress = "instruction_address"
      case instructionCount = "instruction_count"
      case segments
    }
    let config: [String: Int]
    let profile: String
    let instructionAddress: UInt64
    let instructionCount: Int
    let segments: [Segment]

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      config = try container.decode(Numbers.self, forKey: .config).values
      profile = try container.decodeIfPresent(String.self, forKey: .profile) ?? "fsim"
      instructionAddress = try container.decode(UInt64.self, forKey: .instructionAddress)
      instructionCount = try container.decode(Int.self, forKey: .instructionCount)
      segments = try container.decode([Segment].self, forKey: .segments)
    }
  }

  /// A configuration object also holds strings (TARGET, HW_VER), which a trace does not need.
  private struct Numbers: Decodable {
    let values: [String: Int]
    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      values = try container.decode([String: Number].self).compactMapValues(\.value)
    }
    struct Number: Decodable {
      let value: Int?
      init(from decoder: any Decoder) throws {
        value = try? decoder.singleValueContainer().decode(Int.self)
      }
    }
  }

  private static func target(_ header: Header) throws(RecordedRunError) -> Target {
    guard let profile = HardwareProfile.named(header.profile) else {
      throw .configuration(.unknownProfile(header.profile))
    }
    do throws(ConfigurationError) {
      return try Target(
        name: "trace", configuration: try HardwareConfiguration(values: header.config),
        profile: profile)
    } catch {
      throw .configuration(error)
    }
  }

  private static func littleEndian(_ bytes: ArraySlice<UInt8>) -> Int {
    bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }
}

package enum RecordedRunError: Error, CustomStringConvertible {
  case notATrace
  case version(Int)
  case truncated(String)
  case header(String)
  case configuration(ConfigurationError)

  package var description: String {
    switch self {
    case .notATrace: "not a VTA trace: it does not begin with VTATRACE"
    case .version(let version): "trace version \(version) is unknown; this program reads version 1"
    case .truncated(let what): "the file ends before \(what) does"
    case .header(let why): "the header is damaged: \(why)"
    case .configuration(let error): "the header's configuration is refused: \(error)"
    }
  }
}
