internal import VTA

/// Starts programs through the registers and waits for their end (reference/vta-hardware.md, sections 5.1 and 5.2).
///
/// On HLS hardware `done` keeps the 1 of the last run until the first compute instruction of the next, and on any it may be
/// stuck. So it is believed at once only after it read something else in this run. If that was never seen, because
/// this thread did not run for that long or because `done` is stuck, it is believed when the longest time is over that
/// the program can take, and only if it was written since the start: `done_valid` was cleared before and is set again.
/// Where that flag never worked, ``staleLimit`` and an idle fetch must do instead.
final class RunControl {
  private let registers: DeviceRegisters
  private let kernel: any Kernel
  private let fetchControl: RegisterMap.Register?
  /// The flag was clear before a start and set after it.
  private var flagWorks = false
  /// Ends that the interrupt did not tell of, one after the other.
  private var lostInterrupts = 0

  static let staleLimit = Duration.milliseconds(10)
  /// Most programs are done in it.
  static let spinLimit = Duration.microseconds(50)
  /// Between looks at `done`, after the spinning.
  static let pauses = Duration.microseconds(20)...Duration.milliseconds(2)
  /// An interrupt that got lost costs this much.
  static let interruptLimit = Duration.milliseconds(100)
  /// Interrupts in one run that told nothing; then it is polled.
  static let idleInterruptsMax = 16
  /// As many, and the device has none in truth.
  static let lostInterruptsMax = 3
  /// What a bus returns where nothing answers.
  static let allOnes = UInt32.max

  init(_ registers: DeviceRegisters, on kernel: any Kernel) {
    self.registers = registers
    self.kernel = kernel
    fetchControl = registers.map.register(.control, in: .fetch)
  }

  private var map: RegisterMap { registers.map }

  /// - Parameters:
  ///   - longest: what the slowest hardware takes for the program.
  ///   - grace: beyond that; then the accelerator is held to be stuck.
  /// - Throws: ``DeviceError/stalled(_:)``, ``DeviceError/unresponsive(reason:)``.
  func run(
    instructions: DeviceAddress, count: UInt32, longest: Duration, grace: Duration
  ) throws(DeviceError) {
    guard let address = UInt32(exactly: instructions.rawValue) else {
      throw .badAccess(
        address: instructions, byteCount: UInt64(count) * UInt64(Limits.instructionBytes),
        reason: "it is beyond the 4 GiB that the accelerator reaches")
    }
    var watch = try makeWatch(longest)
    for argument in map.arguments {
      write(argument, address: address, count: count)
    }
    enableInterrupt()
    registers.publishMemory()
    watch.started = kernel.now
    for start in map.starts { write(start, address: address, count: count) }
    guard try wait(&watch, until: watch.started + longest + grace) else {
      throw .stalled(StallReport(waited: kernel.now - watch.started, registers: registers))
    }
    registers.acquireMemory()
  }

  /// For hardware that can't be reset: whether a start may be tried after a run that did not end. A layout without idle
  /// bits has one bit that the start sets; it is taken back, so that the next start is one.
  /// - Throws: ``DeviceError/failed(reason:)``.
  func checkAtRest() throws(DeviceError) {
    let report = StallReport(waited: .zero, registers: registers)
    guard report.standing.isEmpty else {
      throw .failed(
        reason:
          "the run can't be stopped without a bitstream to configure the FPGA with (bitstream); \(report)")
    }
    if map.doneValid == nil, let start = map.starts.first { registers.write(start.register, 0) }
  }

  private func write(_ write: RegisterMap.Write, address: UInt32, count: UInt32) {
    let value =
      switch write.value {
      case .constant(let constant): constant
      case .instructionCount: count
      case .instructionAddress: address
      }
    registers.write(write.register, value)
  }

  // MARK: The end of a run

  /// What was seen of `done` in one run.
  private struct DoneWatch {
    var started: ContinuousClock.Instant
    let longest: Duration
    /// Its flag was clear before the start.
    let flagIsUsable: Bool
    /// The flag is set.
    var wasWritten = false
    /// It read as not done.
    var wasOff = false
  }

  private func makeWatch(_ longest: Duration) throws(DeviceError) -> DoneWatch {
    var value: UInt32 = 1
    if let flag = map.doneValid {
      // Reading clears it; where it stays, it is no such flag.
      value = try readAnswering(flag)
      if value & 1 != 0 { value = try readAnswering(flag) }
    }
    return DoneWatch(started: kernel.now, longest: longest, flagIsUsable: value & 1 == 0)
  }

  private func isDone(_ watch: inout DoneWatch) throws(DeviceError) -> Bool {
    if let flag = map.doneValid, watch.flagIsUsable, !watch.wasWritten, try readAnswering(flag) & 1 != 0 {
      watch.wasWritten = true
      flagWorks = true
    }
    guard try readAnswering(map.done) == map.doneValue else {
      watch.wasOff = true
      return false
    }
    if watch.wasOff { return true }
    let waited = kernel.now - watch.started
    guard waited >= watch.longest else { return false }
    // The start itself clears it where there is no flag.
    guard map.doneValid != nil, !watch.wasWritten else { return true }
    guard !flagWorks, waited >= Self.staleLimit, let fetchControl, let idle = fetchControl.bit("idle") else {
      return false
    }
    return try readAnswering(fetchControl) & idle != 0
  }

  private func readAnswering(_ register: RegisterMap.Register) throws(DeviceError) -> UInt32 {
    let value = registers.read(register)
    guard value != Self.allOnes else {
      throw .unresponsive(
        reason:
          "\(register.description) reads as all ones; the FPGA is not configured, or a bridge or clock is off"
      )
    }
    return value
  }

  // MARK: Waiting

  /// - Returns: whether it is done before the limit.
  private func wait(_ watch: inout DoneWatch, until limit: ContinuousClock.Instant) throws(DeviceError)
    -> Bool
  {
    var idleInterrupts = 0
    var hasTimedOut = false
    while true {
      if try isDone(&watch) {
        if hasTimedOut { lostInterrupts += 1 }
        return true
      }
      let now = kernel.now
      guard now < limit else { return false }
      let waited = now - watch.started
      if waited < Self.spinLimit { continue }
      if let interrupt = registers.interrupt, idleInterrupts < Self.idleInterruptsMax,
        lostInterrupts < Self.lostInterruptsMax
      {
        if try isDoneAfterArming(interrupt, &watch) { return true }
        let came = try sleep(interrupt, until: min(limit, now + Self.interruptLimit))
        if came {
          idleInterrupts += 1
          lostInterrupts = 0
        }
        hasTimedOut = !came
      } else {
        // An eighth of what was waited so far: at most that much too late, and hardly any work.
        let pause = min(max(waited / 8, Self.pauses.lowerBound), Self.pauses.upperBound)
        kernel.sleep(min(pause, limit - now))
      }
    }
  }

  private func enableInterrupt() {
    guard registers.interrupt != nil else { return }
    for name in [RegisterMap.Name.interruptEnable, .interruptMask] {
      if let register = map.register(name, in: map.done.block) { registers.write(register, 1) }
    }
  }

  /// An end between the arming and the sleep would not be announced, so `done` is looked at after the arming.
  private func isDoneAfterArming(
    _ interrupt: UIOInterrupt, _ watch: inout DoneWatch
  ) throws(DeviceError) -> Bool {
    if let status = map.register(.interruptStatus, in: map.done.block) {
      // Its bits toggle when ones are written.
      let pending = try readAnswering(status)
      if pending != 0 { registers.write(status, pending) }
    }
    do {
      try interrupt.arm()
    } catch {
      throw .unresponsive(reason: "\(error)")
    }
    return try isDone(&watch)
  }

  private func sleep(
    _ interrupt: UIOInterrupt, until instant: ContinuousClock.Instant
  ) throws(DeviceError) -> Bool {
    do {
      return try interrupt.wait(until: instant)
    } catch {
      throw .unresponsive(reason: "\(error)")
    }
  }
}
