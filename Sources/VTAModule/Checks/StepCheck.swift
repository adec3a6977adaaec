/// The order of steps: each reads only what exists, and the outputs are there at the end.
struct StepCheck {
  private let module: Module
  /// Host tensors so far.
  private var shapes: [HostTensorName: [Int]] = [:]
  /// Device tensors that a host step wrote.
  private var written: Set<Int> = []
  private var hasRunProgram = false

  static func check(_ module: Module) throws(ModuleError) {
    var check = StepCheck(module: module)
    for input in module.inputs { check.shapes[input.name] = input.shape }
    for (index, step) in module.steps.enumerated() { try check.take(step, "step \(index)") }
    for (index, output) in module.outputs.enumerated() {
      guard check.shapes[output.name] == output.shape else {
        throw ModuleError("output \(index) (\(output.name))", "no step makes it with shape \(output.shape)")
      }
    }
  }

  private init(module: Module) { self.module = module }

  private mutating func take(_ step: Step, _ place: String) throws(ModuleError) {
    switch step {
    case .quantize(let input, let output):
      let shape = try shape(of: input, place)
      try checkElements(shape, deviceTensor(output, place), place)
      written.insert(output)
    case .program(let index):
      guard module.programs.indices.contains(index) else {
        throw ModuleError(place, "program \(index) doesn't exist")
      }
      hasRunProgram = true
    case .dequantize(let input, let output, let shape):
      let tensor = try deviceTensor(input, place)
      guard hasRunProgram || written.contains(input) else {
        throw ModuleError(place, "nothing has written the tensor \(tensor.name) before")
      }
      try checkElements(shape, tensor, place)
      try define(output, shape, place)
    case .softmax(let input, let output, let axis):
      let shape = try shape(of: input, place)
      // Axis 0 would mix the samples of a batch.
      guard (1..<max(shape.count, 1)).contains(axis) else {
        throw ModuleError(place, "axis \(axis) is no axis behind the batch of shape \(shape)")
      }
      try define(output, shape, place)
    case .activate(let input, let output, let function):
      guard function.alpha.isFinite, function.beta.isFinite else {
        throw ModuleError(place, "alpha or beta is no finite number")
      }
      try define(output, try shape(of: input, place), place)
    case .transpose(let input, let output, let permutation):
      let shape = try shape(of: input, place)
      // The batch axis moving would mix samples.
      guard permutation.first == 0, permutation.sorted() == Array(shape.indices) else {
        throw ModuleError(
          place, "\(permutation) does not order the axes of \(shape) with the batch axis first")
      }
      try define(output, permutation.map { shape[$0] }, place)
    case .concatenate(let inputs, let output, let axis):
      guard let first = inputs.first, var shape = shapes[first], shape.indices.contains(axis), axis > 0 else {
        throw ModuleError(place, "axis \(axis) is no axis behind the batch of its first input")
      }
      for input in inputs.dropFirst() {
        var other = try self.shape(of: input, place)
        guard other.count == shape.count else { throw ModuleError(place, "its inputs differ in rank") }
        // Each extent is bounded by what was checked before, and so is the sum of two.
        shape[axis] += other[axis]
        other[axis] = shape[axis]
        guard other == shape else {
          throw ModuleError(place, "its inputs differ in another axis than \(axis)")
        }
        try ModuleCheck.checkShape(shape, place)
      }
      try define(output, shape, place)
    case .reshape(let input, let output, let shape):
      let count = try ModuleCheck.checkShape(try self.shape(of: input, place), place)
      guard try ModuleCheck.checkShape(shape, place) == count else {
        throw ModuleError(place, "shape \(shape) does not have the \(count) elements of \(input)")
      }
      try define(output, shape, place)
    }
  }

  private func shape(of name: HostTensorName, _ place: String) throws(ModuleError) -> [Int] {
    guard let shape = shapes[name] else {
      throw ModuleError(place, "it reads \(name), which no step before it makes")
    }
    return shape
  }

  private mutating func define(_ name: HostTensorName, _ shape: [Int], _ place: String) throws(ModuleError) {
    guard !name.isEmpty, shapes.updateValue(shape, forKey: name) == nil else {
      throw ModuleError(place, "it makes \(name), which exists already")
    }
  }

  private func deviceTensor(_ index: Int, _ place: String) throws(ModuleError) -> DeviceTensor {
    guard module.deviceTensors.indices.contains(index) else {
      throw ModuleError(place, "device tensor \(index) doesn't exist")
    }
    return module.deviceTensors[index]
  }

  private func checkElements(_ shape: [Int], _ tensor: DeviceTensor, _ place: String) throws(ModuleError) {
    let count = try ModuleCheck.checkShape(shape, place)
    guard count == tensor.channels * tensor.height * tensor.width else {
      throw ModuleError(place, "shape \(shape) does not have the elements of the tensor \(tensor.name)")
    }
  }
}

extension Module {
  /// Shapes of all tensors on the host, with the batch axis (1) first.
  package var hostShapes: [HostTensorName: [Int]] {
    var shapes = Dictionary(inputs.map { ($0.name, $0.shape) }) { first, _ in first }
    for step in steps {
      switch step {
      case .quantize, .program: break
      case .dequantize(_, let output, let shape), .reshape(_, let output, let shape): shapes[output] = shape
      case .softmax(let input, let output, _), .activate(let input, let output, _):
        shapes[output] = shapes[input]
      case .transpose(let input, let output, let permutation):
        shapes[output] = shapes[input].map { shape in permutation.map { shape[$0] } }
      case .concatenate(let inputs, let output, let axis):
        var shape = shapes[inputs[0]]
        shape?[axis] = inputs.reduce(0) { $0 + (shapes[$1]?[axis] ?? 0) }
        shapes[output] = shape
      }
    }
    return shapes
  }
}
