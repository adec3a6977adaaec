internal import VTA
internal import VTAModule

/// A module in device memory.
struct ResidentModel {
  struct Program {
    let address: DeviceAddress
    let count: UInt32
  }

  let identifier: UInt64
  let module: Module
  /// Of every tensor that host steps see, with the batch axis first.
  let hostShapes: [HostTensorName: [Int]]
  /// By index of the module's regions.
  let regions: [DeviceAddress]
  let programs: [Program]
  /// Everything to free.
  let allocations: [DeviceAddress]
  let memoryByteCount: UInt64
}

/// Brings a module into device memory: regions, then each program, patched and checked.
struct ModelLoader {
  private let backend: any DeviceBackend

  init(backend: any DeviceBackend) { self.backend = backend }

  /// - Throws: ``RuntimeError`` if the module or one of its programs is refused, ``DeviceError``. Nothing stays allocated
  ///   then.
  func load(_ module: Module, identifier: UInt64) throws -> ResidentModel {
    do throws(ModuleError) {
      try ModuleCheck.check(module)
    } catch {
      throw RuntimeError.invalidModule(error)
    }
    try backend.prepare(for: module.target)
    var memory = Memory(backend: backend)
    do {
      let regions = try module.regions.map { region in
        let address = try memory.allocate(region.byteCount)
        switch region.role {
        case .constant(let bytes), .microOps(let bytes):
          try backend.copyIn(bytes, to: address)
          backend.seal(address)
        case .workspace: break
        }
        return address
      }
      let programs = try module.programs.indices.map { index in
        try load(program: index, of: module, regions: regions, into: &memory)
      }
      return ResidentModel(
        identifier: identifier, module: module, hostShapes: module.hostShapes, regions: regions,
        programs: programs,
        allocations: memory.allocations, memoryByteCount: memory.byteCount)
    } catch {
      for address in memory.allocations { backend.free(address) }
      throw error
    }
  }

  private func load(
    program index: Int, of module: Module, regions: [DeviceAddress], into memory: inout Memory
  ) throws -> ResidentModel.Program {
    let words: [InstructionWords]
    do throws(ProgramPatch.PatchError) {
      words = try ProgramPatch.words(
        of: module.programs[index], target: module.target, regions: regions)
    } catch {
      throw RuntimeError.programRefused(program: index, findings: ["\(error)"])
    }
    let findings = try ProgramCheck(module: module, regions: regions).findings(words)
    guard findings.isEmpty else {
      throw RuntimeError.programRefused(program: index, findings: findings.map(\.description))
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(words.count * Limits.instructionBytes)
    for word in words { word.append(to: &bytes) }
    let address = try memory.allocate(UInt64(bytes.count))
    try backend.copyIn(bytes, to: address)
    backend.seal(address)
    backend.adopt(program: address, count: UInt32(words.count))
    return ResidentModel.Program(address: address, count: UInt32(words.count))
  }

  private struct Memory {
    let backend: any DeviceBackend
    var allocations: [DeviceAddress] = []
    var byteCount: UInt64 = 0

    mutating func allocate(_ count: UInt64) throws(DeviceError) -> DeviceAddress {
      let address = try backend.allocate(byteCount: count)
      allocations.append(address)
      byteCount += count
      return address
    }
  }
}
