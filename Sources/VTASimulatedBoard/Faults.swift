package import SystemPackage

/// Something that goes wrong beneath the driver.
package enum Fault: Hashable, Sendable {
  // At the start of a run.

  /// The run never ends. Only a reset or a new configuration brings the accelerator back, as from all of these.
  case hang
  /// The start is not noticed; the next one is.
  case startLost
  /// The run ends, memory is written, but the done bit never shows it.
  case doneMissing
  /// The done bit reads 1 whatever happens.
  case doneStuck
  /// `done` of the run before stays visible for so long after the start.
  case doneStale(Duration)
  /// All registers read as ones, as when the bus answers nothing; the run never ends.
  case registersAllOnes
  /// A path is gone, and with it the device behind it, open or not.
  case nodeVanishes(String)

  // Elsewhere.

  /// A kernel call on a path that starts so fails.
  case call(KernelCall, path: String, Errno)
  /// A kernel call fails, whichever it is.
  case anyCall(Errno)
  /// The FPGA manager gives a configuration up in this state.
  case load(state: String, Errno)

  package enum KernelCall: String, Hashable, Sendable, CaseIterable {
    case open
    case read
    case write
    case ioctl
    case map
    case mapRegisters
    case waitReadable
    case status
    case entries
    case makeFolder
    case removeFolder
    case removeFile
  }
}

/// Faults of runs that come at random, decided by a seed.
package struct RandomFaults: Sendable {
  private var generator: SplitMix
  private let oneIn: UInt64

  /// - Parameter oneIn: Runs to a fault, on average; from 1.
  package init(oneIn: UInt64, seed: UInt64) {
    self.oneIn = max(1, oneIn)
    generator = SplitMix(state: seed)
  }

  mutating func next() -> Fault? {
    guard UInt64.random(in: 0..<oneIn, using: &generator) == 0 else { return nil }
    let all: [Fault] = [.hang, .startLost, .doneMissing, .registersAllOnes, .doneStale(.milliseconds(1))]
    return all.randomElement(using: &generator)
  }

  /// Steele, Lea and Flood, 2014.
  private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }
}

/// Faults that are still to come.
final class Faults {
  private struct Planned {
    let fault: Fault
    /// Occasions that go well before it.
    var skip: Int
    var times: Int
  }

  enum Occasion {
    case run
    case load
    case call(Fault.KernelCall, path: String)
  }

  private var planned: [Planned] = []
  /// Of runs that have no planned one.
  var random: RandomFaults?

  func plan(_ fault: Fault, after skip: Int, times: Int) {
    planned.append(Planned(fault: fault, skip: skip, times: times))
  }

  func clear() { planned = [] }
  var isEmpty: Bool { planned.isEmpty }

  /// The fault of this occasion. Each that is planned for its kind counts it.
  func take(_ occasion: Occasion) -> Fault? {
    var taken: Fault?
    for index in planned.indices where planned[index].fault.fits(occasion) {
      if planned[index].skip > 0 {
        planned[index].skip -= 1
      } else if taken == nil, planned[index].times > 0 {
        planned[index].times -= 1
        taken = planned[index].fault
      }
    }
    planned.removeAll { $0.times == 0 }
    if taken == nil, case .run = occasion { return random?.next() }
    return taken
  }
}

extension Fault {
  fileprivate func fits(_ occasion: Faults.Occasion) -> Bool {
    switch (self, occasion) {
    case (.call(let call, let prefix, _), .call(let made, let path)):
      call == made && path.hasPrefix(prefix)
    case (.anyCall, .call): true
    case (.call, _), (.anyCall, _), (_, .call): false
    case (.load, .load): true
    case (.load, _), (_, .load): false
    case (_, .run): true
    }
  }
}
