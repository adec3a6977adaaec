internal import CVTAKernels

/// What becomes of a sum: operations with constants per channel, and with a second number per output, which starts as 0.
struct Epilogue {
  struct Step: Hashable {
    /// One of MIN, MAX, ADD, SHR, SHL and MUL, the same on every profile.
    let operation: vta_alu_op
    let form: vta_step_form
    let lanes: [Int32]

    func hash(into hasher: inout Hasher) {
      hasher.combine(operation.rawValue)
      hasher.combine(form.rawValue)
      hasher.combine(lanes)
    }
  }

  /// `max(min((sum >> shift) + offset, high), low)`, what most layers have.
  struct Fixed: Hashable {
    var shift: [Int32]
    var offset: [Int32]
    var high = Int32.max
    var low = Int32.min
    private var isClipped = false

    init(block: Int) {
      shift = Array(repeating: 0, count: block)
      offset = shift
    }

    /// - Returns: whether the result still has this form.
    fileprivate mutating func apply(_ operation: vta_alu_op, _ lanes: [Int32]) -> Bool {
      switch operation {
      case VTA_ALU_ADD:
        if isClipped { return false }
        for lane in offset.indices { offset[lane] &+= lanes[lane] }
      case VTA_ALU_SHR:
        guard !isClipped, offset.allSatisfy({ $0 == 0 }) else { return false }
        for lane in shift.indices { shift[lane] = min(31, shift[lane] + lanes[lane]) }
      case VTA_ALU_MIN, VTA_ALU_MAX:
        guard let bound = lanes.first, lanes.allSatisfy({ $0 == bound }) else { return false }
        clip(operation, bound)
      default: return false
      }
      return true
    }

    mutating func clip(_ operation: vta_alu_op, _ bound: Int32) {
      if operation == VTA_ALU_MIN {
        (high, low) = (min(high, bound), min(low, bound))
      } else {
        low = max(low, bound)
      }
      isClipped = true
    }
  }

  /// All but the bias: equal for outputs that one call can compute.
  struct Form: Hashable {
    /// `nil`: there are steps.
    var fixed: Fixed?
    var steps: [Step] = []
  }

  /// Added first.
  var bias: [Int32]
  private var fixed: Fixed?
  private var steps: [Step] = []

  init(block: Int) {
    bias = Array(repeating: 0, count: block)
    fixed = Fixed(block: block)
  }

  /// Whether nothing but the bias changes the sum.
  var isBias: Bool { steps.isEmpty }
  /// All but the bias, if the second number has no part in it.
  var stepsWithLanes: [Step]? { steps.allSatisfy { $0.form == VTA_SUM_BY_LANES } ? steps : nil }

  var form: Form { fixed.map { Form(fixed: $0) } ?? Form(steps: steps) }

  /// - Parameters:
  ///   - operation: as kernels know it; of a tensor, with the shifts of each profile.
  ///   - lanes: one operand per channel.
  ///   - onOther: it changes the second number.
  mutating func apply(_ operation: vta_alu_op, _ lanes: [Int32], isTensor: Bool, onOther: Bool) {
    func shifts(_ amount: (Int32) -> Int32) -> (right: [Int32], left: [Int32]) {
      let amounts = lanes.map(amount)
      return (amounts.map { max($0, 0) & 31 }, amounts.map { $0 < 0 ? (0 &- $0) & 31 : 0 })
    }
    let both: (right: [Int32], left: [Int32])
    switch operation {
    case VTA_ALU_SHR where isTensor: both = shifts { $0 }
    case VTA_ALU_SHR_FIVE_BITS: both = shifts { (($0 &+ 16) & 31) - 16 }
    case VTA_ALU_SHR_MASKED: both = shifts { $0 & 31 }
    case VTA_ALU_SHL_NEGATED: both = shifts { -((0 &- $0) & 31) }
    default: return add(operation, lanes, onOther)
    }
    add(VTA_ALU_SHR, both.right, onOther)
    add(VTA_ALU_SHL, both.left, onOther)
  }

  private mutating func add(_ operation: vta_alu_op, _ lanes: [Int32], _ onOther: Bool) {
    let neutral: Int32? =
      switch operation {
      case VTA_ALU_MIN, VTA_ALU_MAX: nil
      case VTA_ALU_MUL: 1
      default: 0
      }
    if let neutral, lanes.allSatisfy({ $0 == neutral }) { return }
    if operation == VTA_ALU_ADD && !onOther && steps.isEmpty {
      for lane in bias.indices { bias[lane] &+= lanes[lane] }
      return
    }
    if onOther || fixed?.apply(operation, lanes) != true { fixed = nil }
    steps.append(
      Step(operation: operation, form: onOther ? VTA_OTHER_BY_LANES : VTA_SUM_BY_LANES, lanes: lanes))
  }

  /// Applies the second number to the sum, or the other way round.
  ///
  /// - Returns: whether kernels can do that.
  mutating func combine(_ operation: vta_alu_op, onOther: Bool) -> Bool {
    guard [VTA_ALU_MIN, VTA_ALU_MAX, VTA_ALU_ADD, VTA_ALU_MUL].contains(operation) else { return false }
    fixed = nil
    steps.append(
      Step(operation: operation, form: onOther ? VTA_OTHER_BY_SUM : VTA_SUM_BY_OTHER, lanes: []))
    return true
  }
}
