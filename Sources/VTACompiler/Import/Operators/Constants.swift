/// Operators on constants, which the compiler computes: what exporters write around a reshape or a resize whose
/// numbers follow from the shape of another tensor.
extension OperatorRow {
  static let shape = OperatorRow(
    name: "Shape",
    mapping: "a constant: shapes are known, and the batch axis is 1",
    inputs: [.any("data")],
    attributes: ["start": .int, "end": .int]
  ) { node, builder throws(CompileError) in
    let shape = node.shape(0) ?? []
    func place(_ name: String, default value: Int) -> Int {
      let axis = node.int(name, default: value)
      return min(max(axis < 0 ? axis + shape.count : axis, 0), shape.count)
    }
    let (start, end) = (place("start", default: 0), place("end", default: shape.count))
    let part = shape[start..<max(start, end)]
    builder.define(
      node.outputs[0],
      .constant(
        ConstantTensor(
          name: node.outputs[0], shape: [part.count], elements: .integers(part.map { Int64($0) }),
          type: TensorElementType.int64)))
  }

  static let gather = OperatorRow(
    name: "Gather",
    mapping: "a constant",
    inputs: [.constant("data"), .constant("indices")],
    attributes: ["axis": .int],
    constraints: [
      OperatorConstraint("axis must be one of the data's, and indices must be integers of its entries") {
        node in
        node.gathered == nil
          ? "axis is \(node.int("axis")) of \(Shape.text(node.shape(0) ?? [])) with indices of "
            + Shape.text(node.shape(1) ?? []) : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    guard let result = node.gathered else { throw node.error("its indices are not those of an axis") }
    builder.define(node.outputs[0], .constant(result))
  }

  static let slice = OperatorRow(
    name: "Slice",
    mapping: "a constant",
    inputs: [
      .constant("data"), .constant("starts"), .constant("ends"), .optionalConstant("axes"),
      .optionalConstant("steps"),
    ],
    attributes: [:],
    constraints: [
      OperatorConstraint("starts, ends, axes and steps must be integers for different axes, no step 0") {
        node in
        node.sliced == nil
          ? "they have \((1...4).map { Shape.text(node.shape($0) ?? []) }.joined(separator: ", ")) elements"
          : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    guard let result = node.sliced else { throw node.error("it names no part of its input") }
    builder.define(node.outputs[0], .constant(result))
  }

  static let cast = OperatorRow(
    name: "Cast",
    mapping: "nothing; of a constant, a constant",
    inputs: [.any("input")],
    attributes: ["to": .int, "saturate": .int],
    constraints: [
      OperatorConstraint("to must be FLOAT, DOUBLE, INT64 or INT32 for a constant, else FLOAT") { node in
        let to = node.int("to")
        let isLegal = node.constant(0) == nil ? to == TensorElementType.float : node.cast != nil
        return isLegal ? nil : "to is \(TensorElementType.name(Int32(clamping: to)))"
      }
    ]
  ) { node, builder throws(CompileError) in
    builder.define(node.outputs[0], node.cast.map { .constant($0) } ?? node.operand(0))
  }
}

extension TensorElementType {
  static let int64 = 7
  static let double = 11
}

extension ONNXNode {
  fileprivate var gathered: ConstantTensor? {
    guard let data = constant(0), let indices = constant(1), let entries = indices.integers else {
      return nil
    }
    let axis = int("axis") < 0 ? int("axis") + data.shape.count : int("axis")
    guard data.shape.indices.contains(axis) else { return nil }
    let extent = Int64(data.shape[axis])
    let places = entries.map { $0 < 0 ? $0 &+ extent : $0 }
    guard places.allSatisfy({ (0..<extent).contains($0) }) else { return nil }
    return data.taking(places.map { Int($0) }, axis: axis, shape: indices.shape)
  }

  fileprivate var sliced: ConstantTensor? {
    guard var data = constant(0), let starts = constant(1)?.integers, let ends = constant(2)?.integers,
      starts.count == ends.count, starts.count <= data.shape.count
    else { return nil }
    let axes = constant(3)?.integers ?? starts.indices.map { Int64($0) }
    let steps = constant(4)?.integers ?? starts.map { _ in 1 }
    guard axes.count == starts.count, steps.count == starts.count else { return nil }
    let rank = Int64(data.shape.count)
    let positive = axes.map { $0 < 0 ? $0 &+ rank : $0 }
    guard Set(positive).count == positive.count, positive.allSatisfy({ (0..<rank).contains($0) }) else {
      return nil
    }
    for index in starts.indices {
      let axis = Int(positive[index])
      guard
        let places = Self.places(
          from: starts[index], to: ends[index], by: steps[index], of: Int64(data.shape[axis])),
        let part = data.taking(places, axis: axis, shape: [places.count])
      else { return nil }
      data = part
    }
    return data
  }

  /// The entries of an axis that a slice takes, by ONNX's rules: negative bounds count from the end, and bounds beyond
  /// an end are those of the end.
  private static func places(from start: Int64, to end: Int64, by step: Int64, of extent: Int64) -> [Int]? {
    guard step != 0, step != .min else { return nil }
    func bound(_ value: Int64, _ range: ClosedRange<Int64>) -> Int64 {
      min(max(value < 0 ? value + extent : value, range.lowerBound), range.upperBound)
    }
    if extent == 0 { return [] }
    if step > 0 {
      let (first, last) = (bound(start, 0...extent), bound(end, 0...extent))
      return stride(from: first, to: last, by: Int(step)).map { Int($0) }
    }
    let (first, last) = (bound(start, 0...extent - 1), bound(end, -1...extent - 1))
    return stride(from: first, to: last, by: Int(step)).map { Int($0) }
  }

  fileprivate var cast: ConstantTensor? {
    guard var result = constant(0) else { return nil }
    let to = int("to")
    switch to {
    case TensorElementType.float, TensorElementType.double:
      if let integers = result.integers { result.elements = .floats(integers.map { Float($0) }) }
    case TensorElementType.int64, TensorElementType.int32:
      if let floats = result.floats {
        // What no integer is near has no meaning.
        guard floats.allSatisfy({ abs($0) < 1e9 }) else { return nil }
        result.elements = .integers(floats.map { Int64($0) })
      }
    default: return nil
    }
    (result.type, result.scales) = (to, nil)
    return result
  }

  /// The result of an arithmetic operator on two constants: of the same shape, or one of them one value; `nil` if they
  /// are something else, or are divided by 0.
  var folded: ConstantTensor? {
    guard let a = constant(0), let b = constant(1) else { return nil }
    guard a.shape == b.shape || a.elementCount == 1 || b.elementCount == 1 else { return nil }
    let count = a.elementCount == 1 ? b.elementCount : a.elementCount
    let isOfFirst = b.elementCount == 1 && (a.elementCount != 1 || a.shape.count >= b.shape.count)
    let shape = isOfFirst || a.shape == b.shape ? a.shape : b.shape
    func zipped<Element, Result>(
      _ a: [Element], _ b: [Element], _ combine: (Element, Element) -> Result?
    ) -> [Result]? {
      let values = (0..<count).compactMap { combine(a[a.count == 1 ? 0 : $0], b[b.count == 1 ? 0 : $0]) }
      return values.count == count ? values : nil
    }
    let elements: ConstantTensor.Elements?
    if let a = a.floats, let b = b.floats {
      elements = zipped(a, b) { a, b -> Float? in
        switch operatorName {
        case "Add": a + b
        case "Sub": a - b
        case "Mul": a * b
        default: b == 0 ? nil : a / b
        }
      }.map { .floats($0) }
    } else if let a = a.integers, let b = b.integers {
      elements = zipped(a, b) { a, b -> Int64? in
        let (value, overflow) =
          switch operatorName {
          case "Add": a.addingReportingOverflow(b)
          case "Sub": a.subtractingReportingOverflow(b)
          case "Mul": a.multipliedReportingOverflow(by: b)
          default: a.dividedReportingOverflow(by: b)
          }
        return overflow ? nil : value
      }.map { .integers($0) }
    } else {
      elements = nil
    }
    return elements.map { ConstantTensor(name: outputs[0], shape: shape, elements: $0, type: a.type) }
  }
}

extension OperatorConstraint {
  static let foldable = OperatorConstraint(
    "two constants must be both float or both integers, of one shape or one of them one value, and no divisor 0"
  ) { node in
    guard let a = node.constant(0), let b = node.constant(1), node.folded == nil else { return nil }
    return
      "the operands are \(TensorElementType.name(Int32(clamping: a.type))) of \(Shape.text(a.shape)) and "
      + "\(TensorElementType.name(Int32(clamping: b.type))) of \(Shape.text(b.shape))"
  }
}

extension ConstantTensor {
  var elementCount: Int {
    switch elements {
    case .floats(let values): values.count
    case .integers(let values): values.count
    }
  }

  /// Entries of an axis, which get a shape of their own; `nil` if that is more than a tensor may have.
  fileprivate func taking(_ places: [Int], axis: Int, shape entries: [Int]) -> ConstantTensor? {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let outer = shape[..<axis].reduce(1, *)
    let (row, overflow) = places.count.multipliedReportingOverflow(by: inner)
    guard !overflow, row == 0 || outer <= ImportLimits.activationElements / row,
      shape.count - 1 + entries.count <= ImportLimits.rank
    else { return nil }
    var result = self
    result.scales = nil
    result.shape = Array(shape[..<axis]) + entries + Array(shape[(axis + 1)...])
    let extent = shape[axis]
    func take<Element>(_ values: [Element]) -> [Element] {
      var taken: [Element] = []
      for block in 0..<outer {
        for place in places {
          let start = (block * extent + place) * inner
          taken += values[start..<start + inner]
        }
      }
      return taken
    }
    switch elements {
    case .floats(let values): result.elements = .floats(take(values))
    case .integers(let values): result.elements = .integers(take(values))
    }
    return result
  }

  /// Constants one behind the other along an axis; `nil` if they do not fit.
  static func joined(_ parts: [ConstantTensor], axis: Int, name: String) -> ConstantTensor? {
    guard var shape = parts.first?.shape, let type = parts.first?.type, shape.indices.contains(axis),
      parts.allSatisfy({ $0.type == type })
    else { return nil }
    shape[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
    let outer = shape[..<axis].reduce(1, *)
    func join<Element>(_ values: [[Element]]) -> [Element] {
      var joined: [Element] = []
      for block in 0..<outer {
        for part in values {
          let row = part.count / outer
          joined += part[block * row..<(block + 1) * row]
        }
      }
      return joined
    }
    let floats = parts.compactMap(\.floats)
    let integers = parts.compactMap(\.integers)
    if outer == 0 { return nil }
    if floats.count == parts.count {
      return ConstantTensor(name: name, shape: shape, elements: .floats(join(floats)), type: type)
    }
    guard integers.count == parts.count else { return nil }
    return ConstantTensor(name: name, shape: shape, elements: .integers(join(integers)), type: type)
  }

  /// The elements of a float constant by ONNX's broadcasting to an activation's shape; `nil` if it does not fit.
  func broadcast(to target: [Int]) -> [Float]? {
    guard let floats, shape.count <= target.count else { return nil }
    let extents = [Int](repeating: 1, count: target.count - shape.count) + shape
    guard zip(extents, target).allSatisfy({ $0 == 1 || $0 == $1 }) else { return nil }
    var result = floats
    // From the last axis to the first, the elements behind each are repeated.
    var inner = 1
    for axis in target.indices.reversed() {
      if extents[axis] == 1, target[axis] > 1 {
        var repeated: [Float] = []
        for start in stride(from: 0, to: result.count, by: inner) {
          for _ in 0..<target[axis] { repeated += result[start..<start + inner] }
        }
        result = repeated
      }
      inner *= target[axis]
    }
    return result
  }
}
