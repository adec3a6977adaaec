package import VTA
package import VTAModule

/// A program that a compiler of somebody else's made, with its memory: run once, and forgotten.
package struct RawProgram: Sendable {
  package struct Buffer: Sendable {
    package enum Role: Sendable {
      /// Programs only read it.
      case constant
      /// Micro-ops, read by LOAD UOP alone.
      case microOps
      case workspace
    }

    package let name: String
    package let role: Role
    /// What it holds at the start; what is missing is zeros, which only a workspace may leave out.
    package let contents: [UInt8]
    package let byteCount: UInt64
    /// Whether its contents after the run are wanted.
    package let isReturned: Bool

    package init(name: String, role: Role, contents: [UInt8], byteCount: UInt64, isReturned: Bool) {
      self.name = name
      self.role = role
      self.contents = contents
      self.byteCount = byteCount
      self.isReturned = isReturned
    }
  }

  /// Regions and one program.
  let module: Module
  package let buffers: [Buffer]

  /// - Throws: ``RuntimeError/invalidModule(_:)`` for buffers and addresses that make no sense. What the program does is
  ///   checked when it runs.
  package init(
    target: Target, buffers: [Buffer], instructions: [UInt8], relocations: [Relocation]
  ) throws(RuntimeError) {
    for buffer in buffers where UInt64(buffer.contents.count) > buffer.byteCount {
      throw .invalidModule(
        ModuleError(
          "buffer \(buffer.name)", "\(buffer.contents.count) bytes are more than its \(buffer.byteCount)"))
    }
    let module = Module(
      name: "raw program", producer: "", target: target, inputs: [], outputs: [],
      regions: buffers.map { buffer in
        let role: Region.Role =
          switch buffer.role {
          case .constant: .constant(buffer.contents)
          case .microOps: .microOps(buffer.contents)
          case .workspace: .workspace
          }
        return Region(name: buffer.name, role: role, byteCount: buffer.byteCount)
      },
      deviceTensors: [],
      programs: [
        DeviceProgram(
          instructions: instructions, relocations: relocations.sorted { $0.instruction < $1.instruction })
      ],
      steps: [.program(0)], layers: [])
    do throws(ModuleError) {
      try ModuleCheck.checkMemory(module)
    } catch {
      throw .invalidModule(error)
    }
    self.module = module
    self.buffers = buffers
  }

  package var memoryByteCount: UInt64 {
    module.regions.reduce(UInt64(module.programs[0].instructions.count)) { $0 + $1.byteCount }
  }

  package struct Result: Sendable {
    /// Of the buffers whose contents were wanted, in their order.
    package let buffers: [(name: String, contents: [UInt8])]
    package let instructions: Int
    package let duration: Duration
  }

  /// - Parameter model: ``module``, loaded.
  /// - Throws: ``DeviceError``.
  func run(
    _ model: ResidentModel, on backend: any DeviceBackend, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) -> Result {
    for (buffer, address) in zip(buffers, model.regions) where buffer.role == .workspace {
      if !buffer.contents.isEmpty { try backend.copyIn(buffer.contents, to: address) }
    }
    let program = model.programs[0]
    let start = ContinuousClock.now
    try backend.run(instructions: program.address, count: program.count, deadline: deadline)
    let duration = ContinuousClock.now - start
    var returned: [(name: String, contents: [UInt8])] = []
    for (buffer, address) in zip(buffers, model.regions) where buffer.isReturned {
      returned.append((buffer.name, try backend.copyOut(from: address, byteCount: Int(buffer.byteCount))))
    }
    return Result(buffers: returned, instructions: Int(program.count), duration: duration)
  }
}
