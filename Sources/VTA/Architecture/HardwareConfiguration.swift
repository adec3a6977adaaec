/// The shape of one accelerator: VTA's own configuration keys and everything that follows from them.
///
/// All stored properties are base-2 logarithms, as in VTA's JSON files (`LOG_INP_WIDTH` …). Widths count bits,
/// buffers count bytes. A value exists only if every instruction fits its format; anything else is refused by
/// `init` with the sentence that says why. Source: reference/vta-hardware.md, sections 1.1, 1.2 and 1.6.
package struct HardwareConfiguration: Hashable, Sendable {
  package let logInpWidth: Int
  package let logWgtWidth: Int
  package let logAccWidth: Int
  package let logBatch: Int
  package let logBlock: Int
  package let logUopBufferSize: Int
  package let logInpBufferSize: Int
  package let logWgtBufferSize: Int
  package let logAccBufferSize: Int

  /// One row per JSON key: the only list of keys, used by the reader, the writer and the checks.
  package struct Key: Sendable {
    package let name: String
    package let summary: String
    package let allowed: ClosedRange<Int>
    package let read: @Sendable (HardwareConfiguration) -> Int
  }

  package static let keys: [Key] = [
    Key(name: "LOG_INP_WIDTH", summary: "input element bits", allowed: 1...3) { $0.logInpWidth },
    Key(name: "LOG_WGT_WIDTH", summary: "weight element bits", allowed: 1...3) { $0.logWgtWidth },
    Key(name: "LOG_ACC_WIDTH", summary: "accumulator element bits", allowed: 5...5) { $0.logAccWidth },
    Key(name: "LOG_BATCH", summary: "rows of an input tile", allowed: 0...6) { $0.logBatch },
    Key(name: "LOG_BLOCK", summary: "columns of an input tile", allowed: 1...7) { $0.logBlock },
    Key(name: "LOG_UOP_BUFF_SIZE", summary: "micro-op scratchpad bytes", allowed: 3...30) {
      $0.logUopBufferSize
    },
    Key(name: "LOG_INP_BUFF_SIZE", summary: "input scratchpad bytes", allowed: 3...30) {
      $0.logInpBufferSize
    },
    Key(name: "LOG_WGT_BUFF_SIZE", summary: "weight scratchpad bytes", allowed: 3...30) {
      $0.logWgtBufferSize
    },
    Key(name: "LOG_ACC_BUFF_SIZE", summary: "accumulator scratchpad bytes", allowed: 3...30) {
      $0.logAccBufferSize
    },
  ]

  /// - Parameter values: one value per key of ``keys``, by name.
  /// - Throws: ``ConfigurationError`` if a key is missing or out of range, or an instruction does not fit.
  package init(values: [String: Int]) throws(ConfigurationError) {
    func value(_ name: String) throws(ConfigurationError) -> Int {
      guard let value = values[name] else { throw .missingKey(name) }
      return value
    }
    logInpWidth = try value("LOG_INP_WIDTH")
    logWgtWidth = try value("LOG_WGT_WIDTH")
    logAccWidth = try value("LOG_ACC_WIDTH")
    logBatch = try value("LOG_BATCH")
    logBlock = try value("LOG_BLOCK")
    logUopBufferSize = try value("LOG_UOP_BUFF_SIZE")
    logInpBufferSize = try value("LOG_INP_BUFF_SIZE")
    logWgtBufferSize = try value("LOG_WGT_BUFF_SIZE")
    logAccBufferSize = try value("LOG_ACC_BUFF_SIZE")
    for key in Self.keys {
      let found = key.read(self)
      guard key.allowed.contains(found) else {
        throw .outOfRange(key: key.name, value: found, allowed: key.allowed)
      }
    }
    try checkElementsAndDepths()
    // Legal if one ISA revision can encode it; a target checks the revision of its profile.
    if (try? InstructionSet(configuration: self, revision: .a)) == nil {
      _ = try InstructionSet(configuration: self, revision: .b)
    }
  }

  /// `1x16_i8w8a32_15_15_18_17`, the configuration that every published board bitstream of the targets has.
  package static let `default`: HardwareConfiguration = {
    do {
      return try HardwareConfiguration(values: [
        "LOG_INP_WIDTH": 3, "LOG_WGT_WIDTH": 3, "LOG_ACC_WIDTH": 5, "LOG_BATCH": 0, "LOG_BLOCK": 4,
        "LOG_UOP_BUFF_SIZE": 15, "LOG_INP_BUFF_SIZE": 15, "LOG_WGT_BUFF_SIZE": 18,
        "LOG_ACC_BUFF_SIZE": 17,
      ])
    } catch { preconditionFailure("the default configuration is legal: \(error)") }
  }()

  /// VTA's own spelling, `{BATCH}x{BLOCK}_i{INP bits}w{WGT bits}a{ACC bits}_{UOP}_{INP}_{WGT}_{ACC}` (section 1.3).
  package var name: String {
    "\(batch)x\(block)_i\(inpBits)w\(wgtBits)a\(accBits)"
      + "_\(logUopBufferSize)_\(logInpBufferSize)_\(logWgtBufferSize)_\(logAccBufferSize)"
  }

  /// The values by JSON key.
  package var values: [String: Int] {
    Dictionary(uniqueKeysWithValues: Self.keys.map { ($0.name, $0.read(self)) })
  }
}

// MARK: - Derived quantities (section 1.2)

extension HardwareConfiguration {
  package var inpBits: Int { 1 << logInpWidth }
  package var wgtBits: Int { 1 << logWgtWidth }
  package var accBits: Int { 1 << logAccWidth }
  /// Output elements are as wide as inputs.
  package var outBits: Int { inpBits }
  package var batch: Int { 1 << logBatch }
  /// BLOCK_IN and BLOCK_OUT: VTA has one key for both.
  package var block: Int { 1 << logBlock }

  /// Bytes of one addressable element of a memory, in DRAM (section 3.1).
  package func elementBytes(_ memory: MemoryType) -> Int {
    switch memory {
    case .uop: Limits.microOpBytes
    case .wgt: (1 << (logWgtWidth + 2 * logBlock)) / 8
    case .inp: (1 << (logInpWidth + logBatch + logBlock)) / 8
    case .acc: (1 << (logAccWidth + logBatch + logBlock)) / 8
    case .out: (1 << (logInpWidth + logBatch + logBlock)) / 8
    case .acc8bit: (1 << (logAccWidth + logBatch + logBlock)) / 8 / 4
    }
  }

  package var logUopDepth: Int { logUopBufferSize - 2 }
  package var logInpDepth: Int { logInpBufferSize - logBatch - logBlock - logInpWidth + 3 }
  package var logWgtDepth: Int { logWgtBufferSize - 2 * logBlock - logWgtWidth + 3 }
  package var logAccDepth: Int { logAccBufferSize - logBatch - logBlock - logAccWidth + 3 }

  /// Elements that a scratchpad holds. OUT is as deep as ACC.
  package func depth(_ memory: MemoryType) -> Int {
    switch memory {
    case .uop: 1 << logUopDepth
    case .wgt: 1 << logWgtDepth
    case .inp: 1 << logInpDepth
    case .acc, .out, .acc8bit: 1 << logAccDepth
    }
  }

  private func checkElementsAndDepths() throws(ConfigurationError) {
    for memory in [MemoryType.inp, .wgt, .acc] {
      let bytes = elementBytes(memory)
      guard (1...Limits.elementBytesMax).contains(bytes) else {
        throw .elementSize(memory: memory, bytes: bytes, maximum: Limits.elementBytesMax)
      }
    }
    let depths: [(MemoryType, Int, String)] = [
      (.inp, logInpDepth, "LOG_INP_BUFF_SIZE"), (.wgt, logWgtDepth, "LOG_WGT_BUFF_SIZE"),
      (.acc, logAccDepth, "LOG_ACC_BUFF_SIZE"), (.uop, logUopDepth, "LOG_UOP_BUFF_SIZE"),
    ]
    for (memory, logDepth, key) in depths where logDepth < 1 {
      throw .bufferTooSmall(memory: memory, key: key, elementBytes: elementBytes(memory))
    }
    // LOAD and STORE address a scratchpad with a 16-bit sram_base.
    for (memory, logDepth, key) in depths where logDepth > 16 {
      throw .bufferTooDeep(memory: memory, key: key, logDepth: logDepth, maximum: 16)
    }
  }
}

/// Why a set of configuration keys describes no possible accelerator.
package enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  case missingKey(String)
  case outOfRange(key: String, value: Int, allowed: ClosedRange<Int>)
  case elementSize(memory: MemoryType, bytes: Int, maximum: Int)
  case bufferTooSmall(memory: MemoryType, key: String, elementBytes: Int)
  case bufferTooDeep(memory: MemoryType, key: String, logDepth: Int, maximum: Int)
  /// A field starts beyond the last word of its format (64-bit words for instructions, 32-bit for micro-ops).
  case fieldDoesNotFit(format: String, field: String, words: Int, wordBits: Int)
  /// Hardware of this profile cannot be built so.
  case shape(profile: String, configuration: String, why: String)
  case notAConfiguration(String)
  case unknownProfile(String)
  case unknownTarget(target: String, version: String)

  package var description: String {
    switch self {
    case .missingKey(let key):
      "the key \(key) is missing; add it with an integer value"
    case .outOfRange(let key, let value, let allowed):
      "\(key) is \(value), but must lie in \(allowed.lowerBound)…\(allowed.upperBound)"
    case .elementSize(let memory, let bytes, let maximum):
      "an element of \(memory) has \(bytes) bytes, but must have 1…\(maximum); change LOG_BATCH, LOG_BLOCK or its width"
    case .bufferTooSmall(let memory, let key, let elementBytes):
      "\(key) leaves room for less than two elements of \(memory) (\(elementBytes) bytes each); make it larger"
    case .bufferTooDeep(let memory, let key, let logDepth, let maximum):
      "\(key) makes \(memory) 2^\(logDepth) elements deep, but sram_base addresses at most 2^\(maximum); make it smaller"
    case .fieldDoesNotFit(let format, let field, let words, let wordBits):
      "the field \(field) of \(format) does not fit into \(words) × \(wordBits) bits; make a scratchpad smaller"
    case .shape(let profile, let configuration, let why):
      "the profile \(profile) has no \(configuration): \(why)"
    case .notAConfiguration(let why):
      "not a VTA configuration: \(why)"
    case .unknownProfile(let name):
      "PROFILE \(name) is unknown; known: \(HardwareProfile.all.map(\.name).joined(separator: ", "))"
    case .unknownTarget(let target, let version):
      "no profile is known for TARGET \(target) with HW_VER \(version); known: "
        + Target.knownPairs.map { "\($0.target) \($0.version)" }.joined(separator: ", ")
        + "; or name one with PROFILE"
    }
  }
}
