package import VTA

/// What the outside may know of a device.
package struct DeviceDescription: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case simulator
    case board
    /// The driver of a board, above a simulation of it.
    case simulatedBoard = "simulated board"
  }

  /// What an accelerator in hardware is made of.
  package struct Hardware: Hashable, Sendable {
    /// `ultra96-v2`
    package var board: String
    /// How its registers are reached: `/dev/uio0`.
    package var registers: String
    /// Where its memory comes from: `u-dma-buf /dev/udmabuf0`.
    package var memory: String
    /// All that models can have; `nil` if only the kernel knows.
    package var memoryBytes: UInt64?
    package var coherency: Coherency
    /// What the self-test saw.
    package var coherencyReason: String
  }

  /// As it was asked for, resolved: `sim`, `sim:ultra96` (never `auto`).
  package var name: String
  package var kind: Kind
  /// `nil`: the device takes on each module's target.
  package var target: Target?
  package var state: DeviceState
  /// What the user must know of the choice, e.g. that `auto` found no board; `nil` if there is nothing to say.
  package var note: String?
  /// `nil` for simulators, and until a board is open.
  package var hardware: Hardware?
  /// Resets after failures, since the start.
  package var recoveries: UInt64 = 0
  /// Failures of the hardware since the start.
  package var faults: UInt64 = 0
  /// The last of them.
  package var lastFault: String?
  /// The simulator answers what the device can't.
  package var hasFallback = false

  /// A request that comes now is answered.
  package var isServing: Bool {
    switch state {
    case .ready, .recovering: true
    case .outOfService: hasFallback
    case .closed: false
    }
  }

  package init(
    name: String, kind: Kind, target: Target?, state: DeviceState = .ready, note: String? = nil,
    hardware: Hardware? = nil
  ) {
    self.name = name
    self.kind = kind
    self.target = target
    self.state = state
    self.note = note
    self.hardware = hardware
  }

  /// With more to say.
  func with(kind: Kind, note: String) -> DeviceDescription {
    var copy = self
    copy.kind = kind
    copy.note = [note, self.note].compactMap { $0 }.joined(separator: "; ")
    return copy
  }
}
