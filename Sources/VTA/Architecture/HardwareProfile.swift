/// What a family of accelerators does where implementations differ (reference/vta-hardware.md, section 9.3).
///
/// A program is compiled for, checked against and simulated under one profile. The simulator implements the profiles
/// that recorded runs confirm; the Chisel ones are known to the compiler and to modules.
package struct HardwareProfile: Hashable, Sendable {
  /// How SHR reads its amount (section 3.5).
  package enum ShiftRule: Hashable, Sendable {
    /// Negative shifts left; the magnitude counts modulo 32.
    case signOfAmount
    /// The low five bits as a signed number, -16…15.
    case signedFiveBits
    /// Bit 15 of the immediate field gives the direction, five bits the amount.
    case immediateBit15
  }

  /// What GEMM with reset_reg leaves in the OUT buffer (section 3.4).
  package enum ResetOutput: Hashable, Sendable {
    case zero
    /// Low bits of old accumulator + dot product.
    case oldPlusDot
    case unchanged
  }

  package let name: String
  package let revision: ISARevision
  /// STORE reads a buffer of its own, which LOAD ACC does not fill (section 3.6).
  package let hasSeparateOutBuffer: Bool
  package let resetOutput: ResetOutput
  /// Memories whose LOAD honours padding; the others copy densely.
  package let paddedLoads: Set<MemoryType>
  /// LOAD UOP looks at x_size only.
  package let loadsMicroOpsInOneRow: Bool
  package let shiftRule: ShiftRule
  /// ALU opcode MUL exists.
  package let hasMultiply: Bool
  /// LOAD with memory type ACC_8BIT exists.
  package let hasAcc8BitLoad: Bool
  /// Micro-ops that the hardware really holds, where fewer than the configuration says.
  package let microOpDepthMax: Int?
  /// Batch rows beyond the first work.
  package let supportsBatch: Bool
  /// Tokens that a dependence queue can hold; `nil`: unbounded.
  package let tokenCapacity: Int?
  /// Whether recorded runs confirm these semantics; otherwise they come from reading the hardware's source.
  package let isConfirmedByRecordings: Bool

  package static let fsim = HardwareProfile(
    name: "fsim", revision: .b, hasSeparateOutBuffer: false, resetOutput: .zero,
    paddedLoads: [.inp, .wgt, .acc, .uop, .acc8bit], loadsMicroOpsInOneRow: false,
    shiftRule: .signOfAmount, hasMultiply: true, hasAcc8BitLoad: true, microOpDepthMax: nil,
    supportsBatch: true, tokenCapacity: nil, isConfirmedByRecordings: true)
  package static let hls001 = hls("hls-001", .a, paddedLoads: [.inp])
  package static let hls002 = hls("hls-002", .b, paddedLoads: [.inp])
  package static let hlsHead = hls("hls-head", .b, paddedLoads: [.inp, .acc])
  package static let chisel2020 = chisel("chisel-2020", .a, paddedLoads: [.inp, .wgt, .acc], rows: true)
  package static let chisel2021 = chisel(
    "chisel-2021", .b, paddedLoads: [.inp, .wgt, .acc, .uop], rows: false)

  package static let all: [HardwareProfile] = [fsim, hls001, hls002, hlsHead, chisel2020, chisel2021]

  package static func named(_ name: String) -> HardwareProfile? { all.first { $0.name == name } }

  private static func hls(
    _ name: String, _ revision: ISARevision, paddedLoads: Set<MemoryType>
  ) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasSeparateOutBuffer: true, resetOutput: .oldPlusDot,
      paddedLoads: paddedLoads, loadsMicroOpsInOneRow: true, shiftRule: .signedFiveBits,
      hasMultiply: false, hasAcc8BitLoad: false, microOpDepthMax: nil, supportsBatch: true,
      tokenCapacity: 1024, isConfirmedByRecordings: true)
  }

  private static func chisel(
    _ name: String, _ revision: ISARevision, paddedLoads: Set<MemoryType>, rows: Bool
  ) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasSeparateOutBuffer: true, resetOutput: .unchanged,
      paddedLoads: paddedLoads, loadsMicroOpsInOneRow: rows, shiftRule: .immediateBit15,
      hasMultiply: false, hasAcc8BitLoad: false, microOpDepthMax: 2048, supportsBatch: false,
      tokenCapacity: 255, isConfirmedByRecordings: false)
  }
}

extension HardwareProfile {
  /// Micro-ops that a program may keep resident under this profile.
  package func microOpDepth(_ configuration: HardwareConfiguration) -> Int {
    min(configuration.depth(.uop), microOpDepthMax ?? .max)
  }
}

/// Which of the two incompatible instruction layouts an accelerator decodes (section 0.1).
package enum ISARevision: String, Hashable, Sendable, CaseIterable {
  /// HW_VER 0.0.0 and 0.0.1: two-bit memory type and ALU opcode.
  case a = "A"
  /// HW_VER 0.0.2: three-bit memory type and ALU opcode.
  case b = "B"
}
