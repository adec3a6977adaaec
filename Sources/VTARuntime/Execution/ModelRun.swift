internal import VTA
internal import VTAModule

/// One request on the device: samples in groups of the hardware's BATCH, each group through all steps.
struct ModelRun {
  private let request: RunRequest
  private let model: ResidentModel
  private let backend: any DeviceBackend

  init(request: RunRequest, model: ResidentModel, backend: any DeviceBackend) {
    self.request = request
    self.model = model
    self.backend = backend
  }

  private var module: Module { model.module }
  private var configuration: HardwareConfiguration { module.target.configuration }

  /// - Throws: ``RuntimeError/deadlineExceeded``, ``DeviceError``, `CancellationError`.
  func result() throws -> RunResult {
    try backend.prepare(for: module.target)
    let started = ContinuousClock.now
    var device = Duration.zero
    var outputs = [[Float]](repeating: [], count: module.outputs.count)
    var tensors = [[Int8]](repeating: [], count: request.dumpTensors ? module.deviceTensors.count : 0)
    var profile = request.wantsProfile ? RunProfile(of: model) : nil
    for first in stride(from: 0, to: request.samples, by: configuration.batch) {
      try request.cancellation.check()
      let count = min(configuration.batch, request.samples - first)
      var group = SampleGroup(samples: first..<(first + count), values: [:])
      for (index, step) in module.steps.enumerated() {
        let start = profile == nil ? started : ContinuousClock.now
        try take(step, &group, &device)
        profile?.add(ContinuousClock.now - start, toStep: index)
      }
      for (index, output) in module.outputs.enumerated() {
        outputs[index] += values(of: output.name, in: group)
      }
      for index in tensors.indices { tensors[index] += try unpack(index, samples: count) }
    }
    let host = ContinuousClock.now - started - device
    var result = RunResult(
      outputs: zip(module.outputs, outputs).map { ($0.name, Tensor($1, shape: stacked($0.shape))) },
      timings: RunTimings(device: device, host: host),
      deviceTensors: Dictionary(
        uniqueKeysWithValues: zip(module.deviceTensors, tensors).map { tensor, values in
          (tensor.name, Tensor(values, shape: stacked([1, tensor.channels, tensor.height, tensor.width])))
        }))
    try profile.map { result.profile = try withLayers($0) }
    return result
  }

  /// With the times of layers, where they can be taken apart. That runs the programs again.
  private func withLayers(_ profile: RunProfile) throws -> RunProfile {
    guard backend.hardware == nil else { return profile }
    var profile = profile
    let timing = LayerTiming(backend: backend, deadline: request.deadline)
    for (index, step) in module.steps.enumerated() {
      guard case .program(let program) = step else { continue }
      profile.set(layers: try timing.durations(ofProgram: program, in: model), ofStep: index)
    }
    return profile
  }

  /// What the host knows during one pass through the steps.
  private struct SampleGroup {
    /// Of the request's; fewer than BATCH only in the last group.
    let samples: Range<Int>
    /// Host tensors that steps have made: the samples' elements, one sample after the other.
    var values: [HostTensorName: [Float]]

    var count: Int { samples.count }
  }

  private func take(_ step: Step, _ group: inout SampleGroup, _ device: inout Duration) throws {
    switch step {
    case .quantize(let input, let output):
      let bits = configuration.inpBits
      let quantized = withValues(of: input, in: group) { values in
        HostOperators.quantize(
          values, scale: module.deviceTensors[output].scale,
          zero: Float(module.deviceTensors[output].zeroPoint),
          low: -Float(1 << (bits - 1)), high: Float((1 << (bits - 1)) - 1))
      }
      try pack(quantized, into: output, samples: group.count)
    case .program(let index):
      let start = ContinuousClock.now
      if let deadline = request.deadline, start >= deadline { throw RuntimeError.deadlineExceeded }
      let program = model.programs[index]
      try backend.run(instructions: program.address, count: program.count, deadline: request.deadline)
      device += ContinuousClock.now - start
    case .dequantize(let input, let output, _):
      group.values[output] = HostOperators.dequantize(
        try unpack(input, samples: group.count), scale: module.deviceTensors[input].scale,
        zero: Float(module.deviceTensors[input].zeroPoint))
    case .softmax(let input, let output, let axis):
      let shape = model.hostShapes[input] ?? []
      group.values[output] = HostOperators.softmax(
        values(of: input, in: group), extent: shape[axis], stride: shape[(axis + 1)...].reduce(1, *))
    case .activate(let input, let output, let function):
      group.values[output] = values(of: input, in: group).map { function($0) }
    case .transpose(let input, let output, let permutation):
      group.values[output] = TensorArrangement.transpose(
        values(of: input, in: group), shape: [group.count] + (model.hostShapes[input] ?? []).dropFirst(),
        permutation)
    case .concatenate(let inputs, let output, let axis):
      // Elements of one input that lie together: its extents from the axis on.
      let parts = inputs.map { input in
        (values: values(of: input, in: group), run: (model.hostShapes[input] ?? [])[axis...].reduce(1, *))
      }
      group.values[output] = TensorArrangement.concatenate(parts)
    case .reshape(let input, let output, _):
      group.values[output] = values(of: input, in: group)
    }
  }

  private func pack(_ values: [Int8], into index: Int, samples: Int) throws {
    let tensor = module.deviceTensors[index]
    let bytes = tensor.layout(configuration).pack(values, samples: samples)
    try backend.copyIn(bytes, to: address(of: tensor))
  }

  private func unpack(_ index: Int, samples: Int) throws -> [Int8] {
    let tensor = module.deviceTensors[index]
    let layout = tensor.layout(configuration)
    return layout.unpack(
      try backend.copyOut(from: address(of: tensor), byteCount: layout.byteCount), samples: samples)
  }

  private func address(of tensor: DeviceTensor) -> DeviceAddress {
    model.regions[tensor.region].advanced(by: tensor.byteOffset)
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
