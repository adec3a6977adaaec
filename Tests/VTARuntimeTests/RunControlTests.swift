import SystemPackage
import Testing
import VTA

@testable import VTARuntime

/// How the end of a run is waited for, over registers and a clock that do what the test says.
@Suite struct RunControlTests {
  /// Time goes on by what the driver does. Has no files.
  private final class PlayedTime: Kernel, @unchecked Sendable {
    // SAFETY: used by one thread, the test's.
    private(set) var now = ContinuousClock.now
    private(set) var sleeps: [Duration] = []

    func pass(_ duration: Duration) { now += duration }

    func sleep(_ duration: Duration) {
      sleeps.append(duration)
      now += duration
    }

    private var refusal: KernelError { KernelError("call", "played time", .notSupported) }
    func open(
      _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions
    ) throws(KernelError) -> CInt { throw refusal }
    func close(_ descriptor: CInt) {}
    func read(
      _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?
    ) throws(KernelError) -> Int { throw refusal }
    func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(KernelError) -> Int {
      throw refusal
    }
    func ioctl(
      _ descriptor: CInt, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(KernelError) { throw refusal }
    func map(
      _ descriptor: CInt, offset: UInt64, byteCount: Int
    ) throws(KernelError) -> UnsafeMutableRawBufferPointer { throw refusal }
    func unmap(_ memory: UnsafeMutableRawBufferPointer) {}
    func mapRegisters(
      _ descriptor: CInt, offset: UInt64, byteCount: Int
    ) throws(KernelError) -> any RegisterBlock { throw refusal }
    func waitReadable(
      _ descriptor: CInt, until deadline: ContinuousClock.Instant?
    ) throws(KernelError) -> Bool { throw refusal }
    func status(of path: String) throws(KernelError) -> FileStatus { throw refusal }
    func entries(of folder: String) throws(KernelError) -> [String] { throw refusal }
    func makeFolder(_ path: String) throws(KernelError) { throw refusal }
    func removeFolder(_ path: String) throws(KernelError) { throw refusal }
    func removeFile(_ path: String) throws(KernelError) { throw refusal }
  }

  /// HLS registers in one block of 4 KiB each, whose values depend on the time since the start.
  private final class PlayedRegisters: RegisterBlock {
    let byteCount = 0x4000
    let time: PlayedTime
    /// `(done, done_valid, is fetch idle)`; the flag is not cleared by reads unless it says so.
    let play: (_ sinceStart: Duration?) -> (done: UInt32, flag: UInt32, idle: Bool)
    private(set) var reads = 0
    private(set) var started: ContinuousClock.Instant?

    init(_ time: PlayedTime, _ play: @escaping (Duration?) -> (done: UInt32, flag: UInt32, idle: Bool)) {
      self.time = time
      self.play = play
    }

    func read(_ offset: Int) -> UInt32 {
      reads += 1
      time.pass(.nanoseconds(150))
      let now = play(started.map { time.now - $0 })
      switch offset {
      case 0x2018: return now.done
      case 0x201C: return now.flag
      case 0x0000: return now.idle ? 4 : 1
      default: return 0
      }
    }

    func write(_ offset: Int, _ value: UInt32) {
      if offset == 0 { started = time.now }
    }

    func publishMemory() {}
    func acquireMemory() {}
  }

  /// Runs once.
  /// - Returns: how long the driver waited, and what for.
  private func run(
    longest: Duration = .zero, grace: Duration = .seconds(10),
    _ play: @escaping (Duration?) -> (done: UInt32, flag: UInt32, idle: Bool)
  ) throws -> (waited: Duration, registers: PlayedRegisters, time: PlayedTime) {
    let time = PlayedTime()
    let block = PlayedRegisters(time, play)
    let places = RegisterMap.hls.blocks.enumerated().map { index, name in
      (name, DeviceRegisters.Place(block: block, base: index * 0x1000))
    }
    let registers = try #require(
      DeviceRegisters(
        map: .hls, path: "played", places: Dictionary(uniqueKeysWithValues: places), interrupt: nil))
    try RunControl(registers, on: time).run(
      instructions: DeviceAddress(0x1000), count: 1, longest: longest, grace: grace)
    return (time.now - (try #require(block.started)), block, time)
  }

  /// Late by an eighth at most, and hardly any work.
  @Test(arguments: [1, 20, 300, 5_000, 100_000, 3_000_000] as [Int64])
  func waitingCostsLittle(microseconds: Int64) throws {
    let length = Duration.microseconds(microseconds)
    let outcome = try run { since in
      let isDone = since.map { $0 >= length } ?? false
      return (isDone ? 1 : 0, 1, true)
    }
    #expect(outcome.waited >= length)
    #expect(outcome.waited <= length + max(length / 7, .microseconds(25)))
    // The spinning, then intervals that grow to 2 ms.
    #expect(outcome.registers.reads < 600 + 2 * Int(microseconds / 2000) + 200)
    #expect(microseconds < 100 || !outcome.time.sleeps.isEmpty)
  }

  /// `done` of the run before is visible for a while; the flag says when it is this run's.
  @Test(arguments: [0, 1_000, 30_000, 500_000] as [Int64]) func staleDone(microseconds: Int64) throws {
    let stale = Duration.microseconds(microseconds)
    let outcome = try run { since in
      guard let since, since >= stale else { return (1, 0, true) }
      return (since >= stale + .milliseconds(3) ? 1 : 0, 1, true)
    }
    // Without a flag that ever worked, 10 ms of stale 1 with an idle fetch are believed: hardware has no more to show.
    if stale < RunControl.staleLimit {
      #expect(outcome.waited >= stale + .milliseconds(3))
    } else {
      #expect(outcome.waited >= RunControl.staleLimit)
    }
  }

  /// A bit that reads 1 whatever happens: the program has had all the time that it can take.
  @Test func stuckDone() throws {
    let outcome = try run(longest: .milliseconds(30)) { since in
      (1, (since ?? .zero) > .microseconds(1) ? 1 : 0, true)
    }
    #expect(outcome.waited >= .milliseconds(30) && outcome.waited < .milliseconds(35))
  }

  /// A flag that reads do not clear says nothing; a `done` of 0 does.
  @Test func aFlagThatStays() throws {
    let outcome = try run { since in
      guard let since, since >= .milliseconds(2) else { return (1, 1, false) }
      return (since >= .milliseconds(5) ? 1 : 0, 1, false)
    }
    #expect(outcome.waited >= .milliseconds(5))
  }

  @Test func whatNeverEndsIsReported() throws {
    let error = #expect(throws: DeviceError.self) {
      _ = try run(grace: .milliseconds(50)) { _ in (1, 0, false) }
    }
    guard case .stalled(let report) = error else {
      Issue.record("\(error.debugDescription)")
      return
    }
    #expect(report.waited >= .milliseconds(50) && report.standing.contains(.fetch))
  }

  @Test func onesAreNoAnswer() throws {
    let error = #expect(throws: DeviceError.self) {
      _ = try run { since in (since == nil ? 0 : .max, 0, true) }
    }
    guard case .unresponsive = error else {
      Issue.record("\(error.debugDescription)")
      return
    }
  }
}
