/// What a family of accelerators does where implementations differ (reference/vta-hardware.md, section 9.3).
///
/// A program is compiled for, checked against and simulated under one profile. Only `fsim` is implemented by the
/// simulator so far; the others are named because targets and modules refer to them.
package struct HardwareProfile: Hashable, Sendable {
  package let name: String
  package let revision: ISARevision
  /// ALU opcode MUL exists.
  package let hasMultiply: Bool
  /// LOAD with memory type ACC_8BIT exists.
  package let hasAcc8BitLoad: Bool
  /// Micro-ops that the hardware really holds, where fewer than the configuration says.
  package let microOpDepthMax: Int
  /// Batch rows beyond the first work.
  package let supportsBatch: Bool
  /// STORE reads a buffer of its own, which LOAD ACC and GEMM reset do not fill as ACC.
  package let hasSeparateOutBuffer: Bool
  /// Tokens that a dependence queue can hold; `nil`: unbounded.
  package let tokenCapacity: Int?
  /// Whether the semantics were confirmed by recorded runs, or come from reading the hardware sources.
  package let isConfirmedByRecordings: Bool

  package static let fsim = HardwareProfile(
    name: "fsim", revision: .b, hasMultiply: true, hasAcc8BitLoad: true, microOpDepthMax: 1 << 16,
    supportsBatch: true, hasSeparateOutBuffer: false, tokenCapacity: nil, isConfirmedByRecordings: true)
  package static let hls001 = hls("hls-001", .a)
  package static let hls002 = hls("hls-002", .b)
  package static let hlsHead = hls("hls-head", .b)
  package static let chisel2020 = chisel("chisel-2020", .a)
  package static let chisel2021 = chisel("chisel-2021", .b)

  package static let all: [HardwareProfile] = [fsim, hls001, hls002, hlsHead, chisel2020, chisel2021]

  package static func named(_ name: String) -> HardwareProfile? { all.first { $0.name == name } }

  private static func hls(_ name: String, _ revision: ISARevision) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasMultiply: false, hasAcc8BitLoad: false,
      microOpDepthMax: 1 << 16, supportsBatch: true, hasSeparateOutBuffer: true, tokenCapacity: 1024,
      isConfirmedByRecordings: true)
  }

  private static func chisel(_ name: String, _ revision: ISARevision) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasMultiply: false, hasAcc8BitLoad: false,
      microOpDepthMax: 2048, supportsBatch: false, hasSeparateOutBuffer: true, tokenCapacity: 255,
      isConfirmedByRecordings: false)
  }
}

/// Which of the two incompatible instruction layouts an accelerator decodes (section 0.1).
package enum ISARevision: String, Hashable, Sendable, CaseIterable {
  /// HW_VER 0.0.0 and 0.0.1: two-bit memory type and ALU opcode.
  case a = "A"
  /// HW_VER 0.0.2: three-bit memory type and ALU opcode.
  case b = "B"
}
