internal import VTA
internal import VTARuntime

/// The accelerator behind its registers: takes a launch, and is done with it some time later.
///
/// Nothing happens by itself: whoever looks calls ``settle()`` first, and all that is due by now has happened. A run
/// reads and writes memory in one moment, its last, so results that are read too early are old ones.
final class Accelerator {
  /// What the registers must be told.
  protocol Registers: AnyObject {
    /// Names of the register blocks, in order of their indices.
    var blockNames: [String] { get }
    /// - Parameter offset: within the block, a multiple of 4.
    func value(_ block: Int, _ offset: Int) -> UInt32
    /// A read has side effects where registers are cleared by it.
    func wasRead(_ block: Int, _ offset: Int)
    func write(_ block: Int, _ offset: Int, _ value: UInt32)
    /// Fetch has taken the last instruction.
    func fetchEnds()
    /// The first compute instruction starts.
    func computeBegins()
    /// FINISH has been executed.
    func computeEnds(cycles: UInt32, events: UInt32)
    /// Whether the end of a run is signalled, where the design has an interrupt at all.
    var signalsEnd: Bool { get }
    /// The done bit reads 1 whatever happens.
    var isDoneStuck: Bool { get set }
    func reset()
  }

  private struct Run {
    var launch: Launch
    var started: ContinuousClock.Instant
    /// What is still to come, in this order.
    var fetchEnds: ContinuousClock.Instant?
    var computeBegins: ContinuousClock.Instant?
    /// `nil`: never.
    var ends: ContinuousClock.Instant?
    var showsDone = true
  }

  let registers: any Registers
  private let clock: Clock
  private let memory: () -> SimulatedMemory
  private let faults: Faults
  /// MHz.
  private let clockRate: Double
  private var engine: Engine?
  private var run: Run?

  /// All registers read as ones.
  private(set) var isGone = false
  /// Runs since the board was switched on.
  private(set) var launchCount = 0
  /// Fetch stays busy to the end of a run, as it does where the modules' queues are short.
  var fetchesToTheEnd = false
  /// Called when a run ends and the design has an interrupt.
  var interrupt: () -> Void = {}
  /// Called when a path disappears.
  var vanish: (String) -> Void = { _ in }
  /// Called with what a driver must not do.
  var complain: (String) -> Void = { _ in }

  private init(
    _ registers: any Registers, clock: Clock, clockRate: Double, faults: Faults,
    memory: @escaping () -> SimulatedMemory
  ) {
    self.registers = registers
    self.clock = clock
    self.clockRate = clockRate
    self.faults = faults
    self.memory = memory
  }

  /// With the registers that the board's accelerator has.
  static func make(
    _ board: Board, hasDoneFlag: Bool = true, clock: Clock, faults: Faults,
    memory: @escaping () -> SimulatedMemory
  ) -> Accelerator {
    weak var made: Accelerator?
    let launch: (Launch) -> Void = { made?.launch($0) }
    let registers: any Registers =
      board.registers.map == .vcr
      ? VCRRegisters(launch: launch) : HLSRegisters(hasDoneFlag: hasDoneFlag, launch: launch)
    let accelerator = Accelerator(
      registers, clock: clock, clockRate: Double(board.clockMegahertz), faults: faults, memory: memory)
    made = accelerator
    return accelerator
  }

  /// The design becomes this one, as after configuration; `nil`: there is none.
  func configure(_ target: Target?) {
    engine = target.flatMap { Engine($0) }
    reset()
  }

  var target: Target? { engine?.target }

  /// The state after configuration: registers, queues and tokens are as new.
  func reset() {
    run = nil
    isGone = false
    registers.isDoneStuck = false
    registers.reset()
  }

  // MARK: Time

  /// A run holds the accelerator, perhaps for ever.
  var isBusy: Bool { run != nil }
  /// Of the run in progress.
  var instructionCount: UInt32? { run?.launch.count }
  /// When the run in progress will be done; `nil` if none is, or it never will.
  var endsAt: ContinuousClock.Instant? { run?.ends }

  /// Round figures, not a timing model: they make drivers wait, and wait longer for longer programs.
  private static let fetchTime = Duration.nanoseconds(300)
  private static let startTime = Duration.nanoseconds(400)
  private static let cyclesPerInstruction = 100.0

  func launch(_ launch: Launch) {
    settle()
    guard run == nil else { return complain("a run was started while another one was in progress") }
    launchCount += 1
    let fault = faults.take(.run)
    let now = clock.now
    let cycles = Self.cyclesPerInstruction * Double(launch.count)
    var run = Run(
      launch: launch, started: now, fetchEnds: now + Self.fetchTime, computeBegins: now + Self.startTime,
      ends: now + Self.startTime + .microseconds(cycles / clockRate))
    switch fault {
    case .hang: run.ends = nil
    case .startLost: return
    case .doneMissing: run.showsDone = false
    case .doneStuck: registers.isDoneStuck = true
    case .doneStale(let duration):
      run.computeBegins = now + duration
      run.ends = run.ends.map { $0 + duration }
    case .registersAllOnes: (isGone, run.ends) = (true, nil)
    case .nodeVanishes(let path): vanish(path)
    case .call, .anyCall, .load, nil: break
    }
    if fetchesToTheEnd { run.fetchEnds = run.ends }
    self.run = run
  }

  /// Brings everything to the present.
  func settle() {
    guard let current = run else { return }
    let now = clock.now
    if let due = current.fetchEnds, due <= now {
      run?.fetchEnds = nil
      registers.fetchEnds()
    }
    if let due = current.computeBegins, due <= now {
      run?.computeBegins = nil
      registers.computeBegins()
    }
    if let due = current.ends, due <= now { end(current) }
  }

  private func end(_ ending: Run) {
    do throws(Engine.Stall) {
      guard engine != nil, let statistics = try engine?.execute(ending.launch, memory()) else {
        throw Engine.Stall(reason: "the fabric holds no accelerator")
      }
      run = nil
      if !ending.showsDone { return }
      let time = (ending.ends ?? ending.started) - ending.started
      registers.computeEnds(
        cycles: UInt32(truncatingIfNeeded: Int(time / .microseconds(1) * clockRate)),
        events: UInt32(truncatingIfNeeded: statistics.gemmSteps &+ statistics.aluSteps))
      if registers.signalsEnd { interrupt() }
    } catch {
      run?.ends = nil
      complain("a run never ended: \(error.reason)")
    }
  }
}
