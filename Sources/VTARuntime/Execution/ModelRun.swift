internal import VTA
internal import VTAModule

/// One request: samples in groups of the hardware's BATCH, each group through all steps. In three parts, because only the
/// middle one needs the device: while it is on the device, the host's first and last steps of other requests go on.
struct ModelRun: Sendable {
  /// Device tensors of one request that may wait outside of device memory, in bytes. The groups of a larger request go
  /// through all steps one after the other, on the device's thread.
  static let waitingBytesMax = 16 << 20
  /// About what a group takes besides.
  private static let groupBytes = 1 << 10

  let request: RunRequest
  private let module: Module
  private let hostShapes: [HostTensorName: [Int]]
  private let parts: Parts
  /// Whether the groups go through the parts together.
  private let isTogether: Bool
  private var groups: [SampleGroup]
  private var outputs: [[Float]]
  private var tensors: [[Int8]]
  private var timings = RunTimings()
  private var profile: RunProfile?
  /// Why the simulator ran it instead of the device; `nil`: it did not.
  var fallback: String?

  /// - Parameter hostShapes: The module's.
  init(request: RunRequest, module: Module, hostShapes: [HostTensorName: [Int]]) {
    self.request = request
    self.module = module
    self.hostShapes = hostShapes
    parts = Parts(module.steps)
    let batch = module.target.configuration.batch
    groups = stride(from: 0, to: request.samples, by: batch).map { first in
      SampleGroup(samples: first..<min(first + batch, request.samples))
    }
    profile = request.wantsProfile ? RunProfile(of: module) : nil
    let waiting = (parts.written.map(\.tensor) + parts.fetched.map(\.tensor)).reduce(Self.groupBytes) {
      $0 + module.deviceTensors[$1].layout(module.target.configuration).byteCount
    }
    isTogether = !request.dumpTensors && waiting * groups.count <= Self.waitingBytesMax
    outputs = Array(repeating: [], count: module.outputs.count)
    tensors = Array(repeating: [], count: request.dumpTensors ? module.deviceTensors.count : 0)
  }

  private var configuration: HardwareConfiguration { module.target.configuration }

  /// The host's steps before the first that needs the device.
  mutating func prepare() {
    guard isTogether else { return }
    let started = ContinuousClock.now
    for index in groups.indices {
      var group = groups[index]
      prepare(&group)
      groups[index] = group
    }
    timings.host += ContinuousClock.now - started
  }

  /// What waits for the device.
  var packedInputs: [[UInt8]] {
    groups.flatMap { group in parts.written.compactMap { group.packed[$0.tensor] } }
  }

  /// What needs the device, on its thread. May be repeated, on a copy, if it fails.
  /// - Throws: ``RuntimeError/deadlineExceeded``, ``DeviceError``, `CancellationError`.
  mutating func run(_ model: ResidentModel, on backend: any DeviceBackend) throws {
    try backend.prepare(for: module.target)
    let started = ContinuousClock.now
    let before = timings.device
    for index in groups.indices {
      try request.cancellation.check()
      var group = groups[index]
      if !isTogether { prepare(&group) }
      for (step, tensor) in parts.written {
        let start = stepStart
        try write(tensor, of: group, to: model, backend)
        add(since: start, toStep: step)
      }
      for step in parts.device {
        let start = stepStart
        try take(module.steps[step], &group, model, backend)
        add(since: start, toStep: step, isWhole: true)
      }
      for (step, tensor) in parts.fetched {
        let start = stepStart
        try fetch(tensor, into: &group, from: model, backend)
        add(since: start, toStep: step)
      }
      if isTogether {
        groups[index] = group
      } else {
        finish(&group)
        for index in tensors.indices {
          try fetch(index, into: &group, from: model, backend)
          tensors[index] += unpacked(index, in: group)
        }
      }
    }
    timings.host += ContinuousClock.now - started - (timings.device - before)
    if backend.hardware == nil { try timeLayers(of: model, on: backend) }
  }

  /// Fills the profile with the times of layers. That runs the programs again, in part: hardware can't do that.
  private mutating func timeLayers(of model: ResidentModel, on backend: any DeviceBackend) throws {
    guard profile != nil else { return }
    let timing = LayerTiming(backend: backend, deadline: request.deadline)
    for (index, step) in module.steps.enumerated() {
      guard case .program(let program) = step else { continue }
      profile?.set(layers: try timing.durations(ofProgram: program, in: model), ofStep: index)
    }
  }

  /// The host's steps after the last that needs the device, and what came of all of them.
  mutating func result() -> RunResult {
    let started = ContinuousClock.now
    if isTogether {
      for var group in groups { finish(&group) }
    }
    var result = RunResult(
      outputs: zip(module.outputs, outputs).map { ($0.name, Tensor($1, shape: stacked($0.shape))) },
      timings: timings,
      deviceTensors: Dictionary(
        uniqueKeysWithValues: zip(module.deviceTensors, tensors).map { tensor, values in
          (tensor.name, Tensor(values, shape: stacked([1, tensor.channels, tensor.height, tensor.width])))
        }))
    result.fallback = fallback
    result.profile = profile
    result.timings.host += ContinuousClock.now - started
    return result
  }
}

extension ModelRun {
  /// Where the steps divide.
  private struct Parts: Sendable {
    /// From the first step that needs what the device has made to the last that makes or changes something on it.
    let device: Range<Int>
    /// Steps before it that make device tensors.
    let written: [(step: Int, tensor: Int)]
    /// Steps after it that take device tensors.
    let fetched: [(step: Int, tensor: Int)]

    init(_ steps: [Step]) {
      let first =
        steps.firstIndex {
          switch $0 {
          case .program, .dequantize: true
          default: false
          }
        } ?? steps.endIndex
      let last = steps.lastIndex {
        switch $0 {
        case .program, .quantize: true
        default: false
        }
      }
      device = first..<max(first, last.map { $0 + 1 } ?? first)
      written = steps.indices[..<first].compactMap { step in
        if case .quantize(_, let output) = steps[step] { (step, output) } else { nil }
      }
      fetched = steps.indices[device.upperBound...].compactMap { step in
        if case .dequantize(let input, _, _) = steps[step] { (step, input) } else { nil }
      }
    }
  }

  /// What the host knows of some samples.
  private struct SampleGroup: Sendable {
    /// Of the request's; fewer than BATCH only in the last group.
    let samples: Range<Int>
    /// Host tensors that steps have made: the samples' elements, one sample after the other.
    var values: [HostTensorName: [Float]] = [:]
    /// Device tensors as they are, or will be, in device memory.
    var packed: [Int: [UInt8]] = [:]

    var count: Int { samples.count }
  }

  private mutating func prepare(_ group: inout SampleGroup) {
    takeOnHost(0..<parts.device.lowerBound, &group)
  }

  private mutating func takeOnHost(_ steps: Range<Int>, _ group: inout SampleGroup) {
    for step in steps {
      let start = stepStart
      take(module.steps[step], &group)
      add(since: start, toStep: step, isWhole: true)
    }
  }

  /// `nil`: no profile is wanted.
  private var stepStart: ContinuousClock.Instant? { profile == nil ? nil : .now }

  /// - Parameter isWhole: `false`: only its copy to or from device memory.
  private mutating func add(since start: ContinuousClock.Instant?, toStep step: Int, isWhole: Bool = false) {
    if let start { profile?.add(.now - start, toStep: step, count: isWhole ? 1 : 0) }
  }

  private mutating func finish(_ group: inout SampleGroup) {
    takeOnHost(parts.device.upperBound..<module.steps.count, &group)
    for (index, output) in module.outputs.enumerated() {
      outputs[index] += values(of: output.name, in: group)
    }
  }

  private mutating func take(
    _ step: Step, _ group: inout SampleGroup, _ model: ResidentModel, _ backend: any DeviceBackend
  ) throws {
    switch step {
    case .program(let index):
      let start = ContinuousClock.now
      if let deadline = request.deadline, start >= deadline { throw RuntimeError.deadlineExceeded }
      let program = model.programs[index]
      try backend.run(instructions: program.address, count: program.count, deadline: request.deadline)
      timings.device += ContinuousClock.now - start
    case .quantize(_, let output):
      take(step, &group)
      try write(output, of: group, to: model, backend)
    case .dequantize(let input, _, _):
      try fetch(input, into: &group, from: model, backend)
      take(step, &group)
    case .softmax, .activate, .transpose, .concatenate, .reshape: take(step, &group)
    }
  }

  /// The host's part of a step.
  private func take(_ step: Step, _ group: inout SampleGroup) {
    switch step {
    case .quantize(let input, let output):
      let bits = configuration.inpBits
      let tensor = module.deviceTensors[output]
      let quantized = withValues(of: input, in: group) { values in
        HostOperators.quantize(
          values, scale: tensor.scale, zero: Float(tensor.zeroPoint), low: -Float(1 << (bits - 1)),
          high: Float((1 << (bits - 1)) - 1))
      }
      group.packed[output] = tensor.layout(configuration).pack(quantized, samples: group.count)
    case .program: break
    case .dequantize(let input, let output, _):
      group.values[output] = HostOperators.dequantize(
        unpacked(input, in: group), scale: module.deviceTensors[input].scale,
        zero: Float(module.deviceTensors[input].zeroPoint))
    case .softmax(let input, let output, let axis):
      let shape = hostShapes[input] ?? []
      group.values[output] = HostOperators.softmax(
        values(of: input, in: group), extent: shape[axis], stride: shape[(axis + 1)...].reduce(1, *))
    case .activate(let input, let output, let function):
      group.values[output] = values(of: input, in: group).map { function($0) }
    case .transpose(let input, let output, let permutation):
      group.values[output] = TensorArrangement.transpose(
        values(of: input, in: group), shape: [group.count] + (hostShapes[input] ?? []).dropFirst(),
        permutation)
    case .concatenate(let inputs, let output, let axis):
      // Elements of one input that lie together: its extents from the axis on.
      let parts = inputs.map { input in
        (values: values(of: input, in: group), run: (hostShapes[input] ?? [])[axis...].reduce(1, *))
      }
      group.values[output] = TensorArrangement.concatenate(parts)
    case .reshape(let input, let output, _):
      group.values[output] = values(of: input, in: group)
    }
  }

  private func write(
    _ index: Int, of group: SampleGroup, to model: ResidentModel, _ backend: any DeviceBackend
  ) throws {
    try backend.copyIn(group.packed[index] ?? [], to: address(of: index, in: model))
  }

  private func fetch(
    _ index: Int, into group: inout SampleGroup, from model: ResidentModel, _ backend: any DeviceBackend
  ) throws {
    group.packed[index] = try backend.copyOut(
      from: address(of: index, in: model),
      byteCount: module.deviceTensors[index].layout(configuration).byteCount)
  }

  private func unpacked(_ index: Int, in group: SampleGroup) -> [Int8] {
    module.deviceTensors[index].layout(configuration).unpack(group.packed[index] ?? [], samples: group.count)
  }

  private func address(of index: Int, in model: ResidentModel) -> DeviceAddress {
    let tensor = module.deviceTensors[index]
    return model.regions[tensor.region].advanced(by: tensor.byteOffset)
  }

  /// A host tensor's elements for the group. The request's inputs are looked at where they are: they can be large.
  private func withValues<Result>(
    of name: HostTensorName, in group: SampleGroup, _ body: (UnsafeBufferPointer<Float>) -> Result
  ) -> Result {
    if let values = group.values[name] { return values.withUnsafeBufferPointer(body) }
    let bytes = request.inputs[name]?.bytes ?? []
    let size = bytes.count / request.samples
    return bytes.withUnsafeBytes { buffer in
      let own = UnsafeRawBufferPointer(
        rebasing: buffer[(group.samples.lowerBound * size)..<(group.samples.upperBound * size)])
      return own.withMemoryRebound(to: Float.self, body)
    }
  }

  private func values(of name: HostTensorName, in group: SampleGroup) -> [Float] {
    withValues(of: name, in: group) { Array($0) }
  }

  /// The shape with the request's number of samples.
  private func stacked(_ shape: [Int]) -> [Int] { [request.samples] + shape.dropFirst() }
}
