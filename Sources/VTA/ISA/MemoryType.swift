/// What a LOAD or STORE moves (reference/vta-hardware.md, section 2.1). Raw values are the field's encodings.
package enum MemoryType: Int, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case uop = 0
  case wgt = 1
  case inp = 2
  case acc = 3
  case out = 4
  /// int8 values that are sign-extended into the accumulator; revision B only.
  case acc8bit = 5

  package var description: String {
    switch self {
    case .uop: "uop"
    case .wgt: "wgt"
    case .inp: "inp"
    case .acc: "acc"
    case .out: "out"
    case .acc8bit: "acc8"
    }
  }
}

/// Operations of the tensor ALU (section 2.1). Raw values are the field's encodings.
package enum ALUOpcode: Int, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case min = 0
  case max = 1
  case add = 2
  case shr = 3
  /// Revision B only, and absent from all published hardware.
  case mul = 4

  package var description: String {
    switch self {
    case .min: "min"
    case .max: "max"
    case .add: "add"
    case .shr: "shr"
    case .mul: "mul"
    }
  }
}

/// The three modules that execute instructions; fetch only distributes them (section 4.1).
package enum ExecutionModule: Int, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case load = 0
  case compute = 1
  case store = 2

  package var description: String {
    switch self {
    case .load: "load"
    case .compute: "compute"
    case .store: "store"
    }
  }

  package var previous: ExecutionModule? { ExecutionModule(rawValue: rawValue - 1) }
  package var next: ExecutionModule? { ExecutionModule(rawValue: rawValue + 1) }
}
