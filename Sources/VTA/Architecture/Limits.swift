/// Bounds that hold for every configuration and profile. Source: reference/vta-hardware.md, sections 1.6 and 2.1.
package enum Limits {
  package static let instructionBytes = 16
  package static let microOpBytes = 4
  /// An element may not exceed a page (section 1.6, rule 5).
  package static let elementBytesMax = 4096
  /// Regions of device memory start on a page, so that every element size divides their address.
  package static let regionAlignment: UInt64 = 4096
  /// VTA's first page is never handed out: physical address 0 means "none".
  package static let pageBytes = 4096
  /// Largest trip count of a hardware loop (14 bits).
  package static let loopExtentMax = (1 << 14) - 1
  /// Steps of one GEMM or ALU instruction that the verifier lets pass: 0.2 s at 100 MHz, far more than scratchpads
  /// give work for. Loops that only repeat themselves could keep a device busy for hours.
  package static let instructionStepsMax = 1 << 24
  /// Largest `x_size`, `y_size` and `x_stride` (16 bits).
  package static let transferExtentMax = (1 << 16) - 1
  /// Largest padding on one side (4 bits).
  package static let paddingMax = (1 << 4) - 1
  /// ALU immediates are 16-bit two's complement.
  package static let immediate: ClosedRange<Int> = -(1 << 15)...((1 << 15) - 1)
  /// Shift amounts on which all implementations agree (section 3.5).
  package static let portableShiftImmediate: ClosedRange<Int> = -16...15
  package static let portableShiftOperand: ClosedRange<Int> = 0...15
  /// Distance at which a micro-op may use an accumulator index again on HLS hardware (section 3.7).
  package static let accumulatorReuseDistance = 3
}
