import Foundation
import Testing

@testable import VTA

/// Recordings made with TVM's functional simulator and with the HLS hardware source: the independent oracle.
@Suite struct RecordedRunTests {
  @Test(arguments: Vectors.files)
  func simulatorReproducesTheRecording(_ file: String) throws {
    let run = try RecordedRun(Vectors.bytes(file))
    let memory = try run.memoryBefore()
    var simulator = try FunctionalSimulator(target: run.target)
    try simulator.run(
      instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
    let difference = try run.firstDifference(memory)
    #expect(difference == nil, "differs at 0x\(String(difference ?? 0, radix: 16))")
  }

  @Test func aTruncatedRecordingIsAnErrorWhereverItEnds() throws {
    let bytes = try Vectors.bytes(try #require(Vectors.files.first))
    for count in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 400)) {
      #expect(throws: RecordedRunError.self) { try RecordedRun(Array(bytes.prefix(count))) }
    }
  }
}

/// `../shared/vectors` beside the repository where it is present, the copied subset in the repository otherwise.
enum Vectors {
  static let root: URL = {
    let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let shared = repository.appending(path: "../shared/vectors").standardizedFileURL
    return FileManager.default.fileExists(atPath: shared.path)
      ? shared : repository.appending(path: "Tests/Fixtures/vectors")
  }()

  static let files: [String] = {
    let names = FileManager.default.enumerator(atPath: root.path)?.compactMap { $0 as? String } ?? []
    return names.filter { $0.hasSuffix(".vtatrace") }.sorted()
  }()

  static func bytes(_ file: String) throws -> [UInt8] {
    Array(try Data(contentsOf: root.appending(path: file)))
  }
}
