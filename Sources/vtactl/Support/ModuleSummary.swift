private import VTA
internal import VTAModule

/// What `vtactl inspect` says about a module.
struct ModuleSummary: Encodable {
  struct Target: Encodable {
    let name: String
    let configuration: String
    let profile: String
    /// Whether recorded runs confirm the profile; otherwise it comes from reading the hardware's sources.
    let confirmed: Bool
    let caveat: String?
  }

  struct Interface: Encodable {
    let name: String
    let datatype: String
    /// -1: the batch axis, of any extent.
    let shape: [Int]
  }

  struct Region: Encodable {
    let name: String
    let role: String
    let bytes: UInt64
  }

  struct DeviceTensor: Encodable {
    let name: String
    /// Channels, height, width per sample.
    let shape: [Int]
    let scale: Float
    let region: String
    let offset: UInt64
    let bytes: UInt64
  }

  struct Program: Encodable {
    let instructions: Int
    let relocations: Int
  }

  struct Layer: Encodable {
    let name: String
    let op: String
    let place: String
    let why: String
    let instructions: Int

    private enum CodingKeys: String, CodingKey {
      case name
      case op
      case place = "where"
      case why
      case instructions
    }
  }

  let name: String
  let producer: String
  let digest: String
  let bytes: Int
  let target: Target
  let inputs: [Interface]
  let outputs: [Interface]
  let regions: [Region]
  let tensors: [DeviceTensor]
  let programs: [Program]
  let steps: [String]
  let layers: [Layer]
  let preprocessing: String?
  let labels: [String]
  /// Public keys of those whose signatures are right.
  let signers: [String]

  /// - Parameter signers: As ``ModuleInput/signers(of:at:)`` finds them.
  init(_ file: ModuleFile, signers: [String]) {
    let module = file.module
    name = module.name
    producer = module.producer
    digest = file.digest
    bytes = file.byteCount
    target = Target(
      name: module.target.name, configuration: module.target.configuration.name,
      profile: module.target.profile.name, confirmed: module.target.profile.isConfirmedByRecordings,
      caveat: module.target.profile.caveat)
    inputs = module.inputs.map(Self.interface)
    outputs = module.outputs.map(Self.interface)
    regions = module.regions.map { Region(name: $0.name, role: $0.role.name, bytes: $0.byteCount) }
    tensors = module.deviceTensors.map { tensor in
      DeviceTensor(
        name: tensor.name, shape: [tensor.channels, tensor.height, tensor.width], scale: tensor.scale,
        region: module.regions[tensor.region].name, offset: tensor.byteOffset,
        bytes: tensor.byteCount(module.target.configuration))
    }
    programs = module.programs.map {
      Program(instructions: $0.instructionCount, relocations: $0.relocations.count)
    }
    steps = module.steps.map { $0.text(in: module) }
    layers = module.layers.map {
      Layer(
        name: $0.name, op: $0.op, place: $0.place.rawValue, why: $0.why, instructions: $0.instructions.count)
    }
    preprocessing = module.preprocessing?.text
    labels = module.labels
    self.signers = signers
  }

  private static func interface(_ tensor: ModelTensor) -> Interface {
    Interface(
      name: tensor.name, datatype: tensor.dataType.rawValue, shape: [-1] + tensor.shape.dropFirst())
  }

  func printText() {
    print("\(name), written by \(producer)")
    print("  digest   \(digest)")
    print("  size     \(bytes) bytes")
    for signer in signers { print("  signer   \(signer)") }
    let origin = target.caveat.map { " (\($0))" } ?? ""
    print("  target   \(target.name) \(target.configuration) \(target.profile)\(origin)")
    list("inputs", inputs) { "\($0.name) \($0.datatype) \($0.shape)" }
    list("outputs", outputs) { "\($0.name) \($0.datatype) \($0.shape)" }
    list("regions", regions) { "\($0.name): \($0.role), \($0.bytes) bytes" }
    list("tensors on the accelerator", tensors) {
      "\($0.name) \($0.shape), scale \($0.scale), \($0.bytes) bytes at \($0.region)+\($0.offset)"
    }
    list("programs", programs) { "\($0.instructions) instructions, \($0.relocations) relocations" }
    list("steps", steps) { $0 }
    list("layers", layers) {
      let reason = $0.why.isEmpty ? "" : "; \($0.why)"
      return "\($0.name) (\($0.op)): \($0.place), \($0.instructions) instructions\(reason)"
    }
    if let preprocessing { print("preprocessing: \(preprocessing)") }
    if !labels.isEmpty { print("labels: \(labels.joined(separator: ", "))") }
  }

  private func list<Row>(_ title: String, _ rows: [Row], _ text: (Row) -> String) {
    print("\(title):")
    for (index, row) in rows.enumerated() { print("  \(index): \(text(row))") }
  }
}

extension Region.Role {
  var name: String {
    switch self {
    case .constant: "constant"
    case .microOps: "micro-ops"
    case .workspace: "workspace"
    }
  }
}

extension Step {
  fileprivate func text(in module: Module) -> String {
    func tensor(_ index: Int) -> String { module.deviceTensors[index].name }
    return switch self {
    case .quantize(let input, let output): "quantize \(input) -> \(tensor(output)) (accelerator)"
    case .program(let index): "run program \(index)"
    case .dequantize(let input, let output, let shape):
      "dequantize \(tensor(input)) (accelerator) -> \(output) \(shape)"
    case .softmax(let input, let output, let axis): "softmax \(input) -> \(output), axis \(axis)"
    case .activate(let input, let output, let function): "\(function.kind.rawValue) \(input) -> \(output)"
    case .transpose(let input, let output, let permutation):
      "transpose \(input) -> \(output), axes \(permutation)"
    case .concatenate(let inputs, let output, let axis):
      "concatenate \(inputs.joined(separator: ", ")) -> \(output), axis \(axis)"
    case .reshape(let input, let output, let shape): "reshape \(input) -> \(output) \(shape)"
    }
  }
}

extension Preprocessing {
  fileprivate var text: String {
    "\(channels.rawValue), \(layout.rawValue), pixel 255 is \(range), mean \(mean), deviation \(deviation)"
  }
}
