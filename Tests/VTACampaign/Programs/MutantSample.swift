private import Foundation
private import Synchronization
private import VTA

/// Some mutants of a program as `.vtatrace` files, which a judge that shares no code with this project can replay: the
/// memory after the run is what our simulator leaves.
package final class MutantSample: Sendable {
  private let folder: URL
  private let limit: Int
  private let seed: UInt64
  private let taken = Mutex<[Campaign.Sample]>([])

  /// - Parameter limit: accepted mutants, and as many refused ones.
  package init(folder: String, limit: Int, seed: UInt64) throws {
    self.folder = URL(filePath: folder)
    self.limit = limit
    self.seed = seed
    try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
  }

  package func take(_ sample: Campaign.Sample) { taken.withLock { $0.append(sample) } }

  package func write() throws {
    let all = taken.withLock { $0 }.sorted { $0.mutant.what < $1.mutant.what }
    var random = SeededGenerator(seed: seed)
    for isAccepted in [true, false] {
      for sample in all.filter({ $0.isAccepted == isAccepted }).shuffled(using: &random).prefix(limit) {
        guard let bytes = try TraceFile.bytes(of: sample.mutant) else { continue }
        let verdict = isAccepted ? "accepted" : "refused"
        let number = try FileManager.default.contentsOfDirectory(atPath: folder.path).count
        try Data(bytes).write(to: folder.appending(path: "\(verdict)-\(number).vtatrace"))
      }
    }
  }
}

/// Writes the format that tools/vtatrace.py describes.
enum TraceFile {
  private struct Header: Encodable {
    struct Blob: Encodable {
      let offset: Int
      let length: Int
    }
    struct Segment: Encodable {
      let address: UInt64
      let size: Int
      var before: Blob?
      var after: Blob?
    }
    let config: [String: Int]
    let profile: String
    let label: String
    let instructionAddress: UInt64
    let instructionCount: Int
    let segments: [Segment]
  }

  /// `nil` for a mutant that our own simulator can't run and a profile that the format doesn't know.
  static func bytes(of mutant: Mutant) throws -> [UInt8]? {
    let program = mutant.program
    guard program.target.profile.isConfirmedByRecordings else { return nil }
    var machine = try Machine(program)
    // A refused mutant may not finish: then memory stays as it was, and the other judge should not finish either.
    var after = program.segments.map(\.bytes)
    if case .finished(let bytes) = try machine.run() { after = bytes }
    var blobs: [UInt8] = []
    func blob(_ bytes: [UInt8]) -> Header.Blob {
      defer { blobs += bytes }
      return Header.Blob(offset: blobs.count, length: bytes.count)
    }
    var segments = zip(program.segments, after).filter { !$0.0.bytes.isEmpty }.map { segment, after in
      Header.Segment(
        address: segment.address, size: segment.bytes.count, before: blob(segment.bytes), after: blob(after))
    }
    var stream: [UInt8] = []
    for word in program.words { word.append(to: &stream) }
    segments.append(
      Header.Segment(address: Machine.streamAddress, size: stream.count, before: blob(stream), after: nil))
    let header = Header(
      config: program.target.configuration.values, profile: program.target.profile.name, label: mutant.what,
      instructionAddress: Machine.streamAddress, instructionCount: program.words.count, segments: segments)
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    var text = Array(try encoder.encode(header))
    text += [UInt8](repeating: 0x20, count: -(16 + text.count) & 15)
    var bytes = Array("VTATRACE".utf8)
    for number in [1, text.count] { bytes += (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    return bytes + text + blobs
  }
}
