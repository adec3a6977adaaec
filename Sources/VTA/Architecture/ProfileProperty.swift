/// One line of the table that compares profiles, in words.
package struct ProfileProperty: Sendable {
  /// The stored property of ``HardwareProfile``.
  package let field: String
  package let name: String
  /// Of reference/vta-hardware.md.
  package let section: String
  package let text: @Sendable (HardwareProfile) -> String

  /// Every stored property but the name has a row.
  package static let all: [ProfileProperty] = [
    ProfileProperty(field: "isConfirmedByRecordings", name: "Semantics", section: "9.3") {
      $0.isConfirmedByRecordings ? "confirmed by recorded runs" : "**unconfirmed**, from reading the source"
    },
    ProfileProperty(field: "revision", name: "ISA revision", section: "0.1") { $0.revision.rawValue },
    ProfileProperty(field: "hasSeparateOutBuffer", name: "What STORE reads", section: "3.6") {
      $0.hasSeparateOutBuffer ? "OUT buffer, which LOAD ACC does not fill" : "low bits of ACC"
    },
    ProfileProperty(field: "resetOutput", name: "OUT after GEMM with reset", section: "3.4") {
      switch $0.resetOutput {
      case .zero: "0"
      case .oldPlusDot: "old accumulator + dot product"
      case .unchanged: "unchanged"
      }
    },
    ProfileProperty(field: "paddedLoads", name: "Loads that pad", section: "3.2") { profile in
      MemoryType.allCases.filter(profile.paddedLoads.contains).map { "\($0)" }.joined(separator: ", ")
    },
    ProfileProperty(field: "microOpLoad", name: "LOAD UOP moves", section: "3.2") {
      switch $0.microOpLoad {
      case .rows: "rows, as other loads"
      case .oneRow: "`x_size` micro-ops, one row"
      case .pairs(let beats): "one row in pairs, bursts of \(beats) pairs"
      }
    },
    ProfileProperty(field: "shiftRule", name: "SHR amount", section: "3.5") {
      switch $0.shiftRule {
      case .signOfAmount: "negative shifts left, modulo 32"
      case .signedFiveBits: "low five bits, signed: -16…15"
      case .immediateBit15: "left if bit 15 of `imm` is set, modulo 32"
      }
    },
    ProfileProperty(field: "immediateOperand", name: "First operand with an immediate", section: "3.5") {
      switch $0.immediateOperand {
      case .dst: "ACC[dst]"
      case .src: "ACC[src]"
      }
    },
    ProfileProperty(field: "hasMultiply", name: "ALU MUL", section: "3.5") { yesNo($0.hasMultiply) },
    ProfileProperty(field: "hasAcc8BitLoad", name: "LOAD ACC_8BIT", section: "3.2") {
      yesNo($0.hasAcc8BitLoad)
    },
    ProfileProperty(field: "missingOperation", name: "At an operation that it lacks", section: "3.5") {
      switch $0.missingOperation {
      case .stops: "stops"
      case .ignored: "result undefined, tokens honoured"
      case .hangs: "hangs"
      }
    },
    ProfileProperty(field: "zeroExtent", name: "Extents of 0", section: "3.4") {
      switch $0.zeroExtent {
      case .skipped: "nothing, or padding if only `y_size` is 0"
      case .padding: "loops nothing, loads their padding"
      case .runsAway: "never ends"
      }
    },
    ProfileProperty(field: "hazards", name: "Hazards inside an instruction", section: "3.7") {
      switch $0.hazards {
      case .none: "none"
      case .nearbyAccumulators: "an accumulator that one of the two micro-ops before writes"
      case .aluReadsPreviousResult: "ALU: an accumulator that the micro-op before writes"
      }
    },
    ProfileProperty(field: "joinsALUSourceFields", name: "`wgt_idx` of ALU micro-ops", section: "2.8") {
      $0.joinsALUSourceFields ? "must be 0" : "ignored"
    },
    ProfileProperty(field: "microOpDepthMax", name: "Micro-ops held", section: "9.3") {
      $0.microOpDepthMax.map { "\($0)" } ?? "as configured"
    },
    ProfileProperty(field: "shapes", name: "Shapes", section: "1.6") {
      switch $0.shapes {
      case .any: "any"
      case .inputsAtLeastAsDeepAsAccumulators: "INP at least as deep as ACC"
      case .intelOpenCL: "8-bit, blocks of 16 or 32, ACC at least as deep as INP"
      case .defaultOnly: "only \(HardwareConfiguration.default.name)"
      }
    },
    ProfileProperty(field: "dispatch", name: "Modules and tokens", section: "4") {
      switch $0.dispatch {
      case .sequential: "program order, flags ignored"
      case .modules(let tokens, let depth):
        "three modules, queues of \(depth.map { "\($0)" } ?? "any number of") instructions, \(text(tokens))"
      }
    },
  ]

  private static func yesNo(_ flag: Bool) -> String { flag ? "yes" : "no" }

  private static func text(_ tokens: HardwareProfile.TokenQueue) -> String {
    switch tokens {
    case .unbounded: "any number of tokens"
    case .blocking(let capacity): "\(capacity) tokens, then a push waits"
    case .saturating(let capacity): "\(capacity) tokens, more are lost"
    }
  }
}
