/// What a family of accelerators does where implementations differ (reference/vta-hardware.md, section 9.3).
///
/// A program is compiled for, checked against and simulated under one profile. Recorded runs confirm `fsim` and the HLS
/// profiles; the Chisel and OpenCL ones come from reading the hardware's source (``isConfirmedByRecordings``).
package struct HardwareProfile: Hashable, Sendable {
  package let name: String
  package let revision: ISARevision
  /// STORE reads a buffer of its own, which LOAD ACC does not fill (section 3.6).
  package let hasSeparateOutBuffer: Bool
  package let resetOutput: ResetOutput
  /// Memories whose LOAD honours padding; the others copy densely.
  package let paddedLoads: Set<MemoryType>
  package let microOpLoad: MicroOpLoad
  package let shiftRule: ShiftRule
  /// The accumulator that an ALU instruction with an immediate reads (section 3.5).
  package let immediateOperand: ImmediateOperand
  /// ALU opcode MUL exists.
  package let hasMultiply: Bool
  /// LOAD with memory type ACC_8BIT exists.
  package let hasAcc8BitLoad: Bool
  package let missingOperation: MissingOperation
  package let zeroExtent: ZeroExtent
  package let hazards: Hazards
  /// The source index of an ALU micro-op includes its wgt field, which must be zero then (section 2.8).
  package let joinsALUSourceFields: Bool
  /// Micro-ops that the hardware really holds, where fewer than the configuration says.
  package let microOpDepthMax: Int?
  package let shapes: Shapes
  package let dispatch: Dispatch
  /// Whether recorded runs confirm these semantics; otherwise they come from reading the hardware's source.
  package let isConfirmedByRecordings: Bool
}

// MARK: - What differs

extension HardwareProfile {
  /// How SHR reads its amount (section 3.5).
  package enum ShiftRule: Hashable, Sendable {
    /// Negative shifts left; the magnitude counts modulo 32.
    case signOfAmount
    /// The low five bits as a signed number, -16…15.
    case signedFiveBits
    /// Bit 15 of the immediate field gives the direction, of tensor operands too; the amount counts modulo 32.
    case immediateBit15
  }

  /// What GEMM with reset_reg leaves in the OUT buffer (section 3.4).
  package enum ResetOutput: Hashable, Sendable {
    case zero
    /// Low bits of old accumulator + dot product.
    case oldPlusDot
    case unchanged
  }

  /// Which elements a LOAD of micro-ops moves (section 3.2; section 9.1, number 30).
  package enum MicroOpLoad: Hashable, Sendable {
    /// Two-dimensional, as other loads.
    case rows
    /// `x_size` elements from `dram_base` on; the other extents are ignored.
    case oneRow
    /// One row, two elements per memory beat; see ``PairedMicroOpLoad``.
    case pairs(beatsPerBurst: Int)
  }

  package enum ImmediateOperand: Hashable, Sendable {
    case dst
    case src
  }

  /// What happens at an opcode or memory type that the hardware lacks (sections 3.2 and 3.5).
  package enum MissingOperation: Hashable, Sendable {
    /// The simulator stops.
    case stops
    /// Nothing, or something undefined, but tokens are honoured.
    case ignored
    /// Fetch waits forever.
    case hangs
  }

  /// What loops and transfers of extent zero do (sections 3.2 to 3.4).
  package enum ZeroExtent: Hashable, Sendable {
    /// Loops do nothing, a load of `x_size` 0 does nothing, one of `y_size` 0 writes its padding.
    case skipped
    /// Loops do nothing, loads write their padding.
    case padding
    /// Counters compare with extent - 1: the instruction never ends.
    case runsAway
  }

  /// Accesses in one instruction that a pipeline without bypass gets wrong (section 3.7).
  package enum Hazards: Hashable, Sendable {
    case none
    /// A micro-op may not use an accumulator that one of the two micro-ops before it writes.
    case nearbyAccumulators
    /// An ALU micro-op may not read the accumulator that the micro-op before it writes.
    case aluReadsPreviousResult
  }

  /// Configurations that the implementation can be built for (section 1.6; section 2.8; section 9.1, number 28).
  package enum Shapes: Hashable, Sendable {
    case any
    /// Micro-op ranges match the format only if INP is at least as deep as ACC.
    case inputsAtLeastAsDeepAsAccumulators
    /// int8 and int32, blocks of 16 or 32, ACC at least as deep as INP, factor fields in the second word.
    case intelOpenCL
    /// Hard-wired.
    case defaultOnly
  }

  /// How instructions reach the modules (section 4).
  package enum Dispatch: Hashable, Sendable {
    /// Three modules at once; `commandQueueDepth` instructions wait per module, `nil`: any number.
    case modules(tokens: TokenQueue, commandQueueDepth: Int?)
    /// Program order; dependence flags are ignored.
    case sequential
  }

  package enum TokenQueue: Hashable, Sendable {
    case unbounded
    /// A push waits until there is room.
    case blocking(capacity: Int)
    /// A push into a full queue is lost.
    case saturating(capacity: Int)
  }
}

// MARK: - The profiles

extension HardwareProfile {
  package static let fsim = HardwareProfile(
    name: "fsim", revision: .b, hasSeparateOutBuffer: false, resetOutput: .zero,
    paddedLoads: [.inp, .wgt, .acc, .uop, .acc8bit], microOpLoad: .rows, shiftRule: .signOfAmount,
    immediateOperand: .dst, hasMultiply: true, hasAcc8BitLoad: true, missingOperation: .stops,
    zeroExtent: .skipped, hazards: .none, joinsALUSourceFields: false, microOpDepthMax: nil, shapes: .any,
    dispatch: .modules(tokens: .unbounded, commandQueueDepth: nil), isConfirmedByRecordings: true)
  package static let hls001 = hls("hls-001", .a, paddedLoads: [.inp])
  package static let hls002 = hls("hls-002", .b, paddedLoads: [.inp])
  package static let hlsHead = hls("hls-head", .b, paddedLoads: [.inp, .acc])
  package static let chisel2020 = chisel(
    "chisel-2020", .a, paddedLoads: [.inp, .wgt, .acc], microOpLoad: .pairs(beatsPerBurst: 16),
    immediateOperand: .dst, hazards: .none)
  package static let chisel2021 = chisel(
    "chisel-2021", .b, paddedLoads: [.inp, .wgt, .acc, .uop], microOpLoad: .rows,
    immediateOperand: .src, hazards: .aluReadsPreviousResult)
  package static let ocl = HardwareProfile(
    name: "ocl", revision: .b, hasSeparateOutBuffer: true, resetOutput: .oldPlusDot,
    paddedLoads: [.inp], microOpLoad: .oneRow, shiftRule: .signOfAmount, immediateOperand: .dst,
    hasMultiply: true, hasAcc8BitLoad: true, missingOperation: .ignored, zeroExtent: .padding,
    hazards: .none, joinsALUSourceFields: false, microOpDepthMax: nil, shapes: .intelOpenCL,
    dispatch: .sequential,
    isConfirmedByRecordings: false)

  package static let all: [HardwareProfile] = [
    fsim, hls001, hls002, hlsHead, chisel2020, chisel2021, ocl,
  ]

  package static func named(_ name: String) -> HardwareProfile? { all.first { $0.name == name } }

  private static func hls(
    _ name: String, _ revision: ISARevision, paddedLoads: Set<MemoryType>
  ) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasSeparateOutBuffer: true, resetOutput: .oldPlusDot,
      paddedLoads: paddedLoads, microOpLoad: .oneRow, shiftRule: .signedFiveBits,
      immediateOperand: .dst, hasMultiply: false, hasAcc8BitLoad: false, missingOperation: .ignored,
      zeroExtent: .padding, hazards: .nearbyAccumulators, joinsALUSourceFields: false,
      microOpDepthMax: nil,
      shapes: .inputsAtLeastAsDeepAsAccumulators,
      dispatch: .modules(tokens: .blocking(capacity: 1024), commandQueueDepth: 512),
      isConfirmedByRecordings: true)
  }

  private static func chisel(
    _ name: String, _ revision: ISARevision, paddedLoads: Set<MemoryType>, microOpLoad: MicroOpLoad,
    immediateOperand: ImmediateOperand, hazards: Hazards
  ) -> HardwareProfile {
    HardwareProfile(
      name: name, revision: revision, hasSeparateOutBuffer: true, resetOutput: .unchanged,
      paddedLoads: paddedLoads, microOpLoad: microOpLoad, shiftRule: .immediateBit15,
      immediateOperand: immediateOperand, hasMultiply: false, hasAcc8BitLoad: false,
      missingOperation: .hangs, zeroExtent: .runsAway, hazards: hazards,
      joinsALUSourceFields: true, microOpDepthMax: 2048,
      shapes: .defaultOnly,
      dispatch: .modules(tokens: .saturating(capacity: 255), commandQueueDepth: 512),
      isConfirmedByRecordings: false)
  }
}

extension HardwareProfile {
  /// What users should know of the profile's semantics; `nil` if recordings confirm them.
  package var caveat: String? {
    isConfirmedByRecordings ? nil : "semantics read from the hardware's sources, not confirmed by runs"
  }

  /// Micro-ops that a program may keep resident under this profile.
  package func microOpDepth(_ configuration: HardwareConfiguration) -> Int {
    min(configuration.depth(.uop), microOpDepthMax ?? .max)
  }

  /// Elements that the profile's scratchpad holds; micro-ops may be fewer than the configuration says.
  package func depth(_ memory: MemoryType, _ configuration: HardwareConfiguration) -> Int {
    memory == .uop ? microOpDepth(configuration) : configuration.depth(memory)
  }

  /// SHR amounts on which the profile's result is defined, for an immediate.
  package var definedShiftImmediates: ClosedRange<Int> {
    switch shiftRule {
    // Beyond, the simulator's C++ is undefined.
    case .signOfAmount: -31...31
    case .signedFiveBits, .immediateBit15: Limits.immediate
    }
  }

  /// Why an accelerator of this family cannot have the shape; `nil` if it can.
  package func refusal(of c: HardwareConfiguration) -> String? {
    switch shapes {
    case .any: return nil
    case .inputsAtLeastAsDeepAsAccumulators:
      return c.logInpDepth >= c.logAccDepth
        ? nil
        : "its micro-op fields match only if INP is at least as deep as ACC; make LOG_INP_BUFF_SIZE larger"
    case .intelOpenCL:
      guard c.inpBits == 8, c.wgtBits == 8, c.block == 16 || c.block == 32 else {
        return "it exists only with 8-bit inputs and weights and blocks of 16 or 32"
      }
      guard c.logAccDepth >= c.logInpDepth else {
        return
          "its micro-op fields match only if ACC is at least as deep as INP; make LOG_ACC_BUFF_SIZE larger"
      }
      let factors = try? InstructionSet(configuration: c, revision: revision).gemm.field(.dstFactorOut)
      return factors?.word == 1 ? nil : "its factor fields begin in word 1; make LOG_UOP_BUFF_SIZE 15"
    case .defaultOnly:
      return c == .default ? nil : "it is hard-wired to \(HardwareConfiguration.default.name)"
    }
  }
}

/// Which of the two incompatible instruction layouts an accelerator decodes (section 0.1).
package enum ISARevision: String, Hashable, Sendable, CaseIterable {
  /// HW_VER 0.0.0 and 0.0.1: two-bit memory type and ALU opcode.
  case a = "A"
  /// HW_VER 0.0.2: three-bit memory type and ALU opcode.
  case b = "B"
}
