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

  /// Recorded programs verify clean, apart from findings that are true: random HLS programs pad loads whose padding that
  /// hardware ignores, and use accumulators sooner than its pipeline allows (the recordings ran the HLS source as
  /// sequential C++).
  @Test(arguments: Vectors.files)
  func recordedProgramsVerifyClean(_ file: String) throws {
    let run = try RecordedRun(Vectors.bytes(file))
    let findings = try run.findings()
    let padding = findings.filter { $0.message.contains("ignores the padding") }
    let hazards = findings.filter { $0.message.contains("too soon") }
    #expect(findings.count == padding.count + hazards.count, "\(findings.prefix(3).map(\.description))")
    #expect(findings.isEmpty || run.target.profile.name.hasPrefix("hls"))

    // True: without the padding, memory after the run is the same.
    let memory = try run.memoryBefore()
    let set = try InstructionSet(
      configuration: run.target.configuration, revision: run.target.profile.revision)
    for index in padding.compactMap(\.instruction) {
      let address = run.instructionAddress + UInt64(index * Limits.instructionBytes)
      try memory.withMutableBytes(at: address, count: Limits.instructionBytes) { bytes in
        var instruction = try set.decode(InstructionWords.stream(UnsafeRawBufferPointer(bytes))[0])
        guard case .load(var transfer) = instruction.operation else { return }
        #expect(transfer.hasPadding)
        (transfer.yPad0, transfer.yPad1, transfer.xPad0, transfer.xPad1) = (0, 0, 0, 0)
        instruction.operation = .load(transfer)
        var encoded: [UInt8] = []
        try set.encode(instruction).append(to: &encoded)
        bytes.copyBytes(from: encoded)
      }
    }
    var simulator = try FunctionalSimulator(target: run.target, isStrict: true)
    try simulator.run(
      instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
    let stream = run.instructionAddress..<run.instructionAddress + UInt64(run.instructionCount * 16)
    let difference = try run.firstDifference(memory, ignoring: stream)
    #expect(difference == nil)

    // True: the strict simulator, which walks every step, sees the same instructions.
    let stale = simulator.observations.filter { $0.message.contains("HLS hardware reads a stale value") }
    #expect(Set(hazards.compactMap(\.instruction)).isSubset(of: Set(stale.map(\.instruction))))
  }

  /// Recorded schedules overlap modules; every legal order gives what was recorded.
  @Test(arguments: Vectors.files.filter { $0.contains("random") || $0.contains("hls") })
  func everyScheduleReproducesTheRecording(_ file: String) throws {
    let run = try RecordedRun(Vectors.bytes(file))
    for seed in 0..<5 as Range<UInt64> {
      let memory = try run.memoryBefore()
      var simulator = try FunctionalSimulator(target: run.target)
      try simulator.run(
        instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory,
        schedule: .seeded(seed))
      #expect(try run.firstDifference(memory) == nil)
    }
  }

  @Test func aTruncatedRecordingIsAnErrorWhereverItEnds() throws {
    let bytes = try Vectors.bytes(try #require(Vectors.files.first))
    for count in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 400)) {
      #expect(throws: RecordedRunError.self) { try RecordedRun(Array(bytes.prefix(count))) }
    }
  }

  /// A file of some hundred bytes must not ask for gigabytes, in one segment or by naming the same bytes many times.
  @Test(arguments: [
    [UInt64(1) << 32], [1 << 30, 1], [UInt64.max, 2], Array(repeating: 1 << 20, count: 1025),
  ])
  func aSmallFileCannotAskForMuchMemory(_ sizes: [UInt64]) throws {
    let values = HardwareConfiguration.default.values
    let config = values.keys.sorted().map { "\"\($0)\":\(values[$0] ?? 0)" }.joined(separator: ",")
    let blob = #","before":{"offset":0,"length":16}"#
    let segments = sizes.indices.map { "{\"address\":\($0 << 21),\"size\":\(sizes[$0])\(blob)}" }
    let header =
      "{\"config\":{\(config)},\"instruction_address\":0,\"instruction_count\":1,"
      + "\"segments\":[\(segments.joined(separator: ","))]}"
    var bytes = Array("VTATRACE".utf8)
    for number in [1, header.utf8.count] { bytes += (0..<4).map { UInt8(number >> (8 * $0) & 255) } }
    bytes += Array(header.utf8) + [UInt8](repeating: 0, count: 16)
    #expect(throws: RecordedRunError.self) { try RecordedRun(bytes) }
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
