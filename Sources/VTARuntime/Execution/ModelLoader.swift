internal import VTA
internal import VTAModule

/// A module in device memory.
struct ResidentModel {
  struct Program {
    let address: DeviceAddress
    let count: UInt32
    let translation: TranslatedProgram.Figures?
  }

  let identifier: UInt64
  let module: Module
  /// By index of the module's regions.
  let regions: [DeviceAddress]
  let programs: [Program]
  /// Everything to free: regions, then programs.
  var arena: [DeviceAddress] { regions + programs.map(\.address) }
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
    return try load(checked: module, identifier: identifier)
  }

  /// - Parameter module: passed ``ModuleCheck``, as far as it is used; its programs are checked here.
  func load(checked module: Module, identifier: UInt64) throws -> ResidentModel {
    try backend.prepare(for: module.target)
    // An empty program is refused later, with a better sentence.
    let sizes =
      module.regions.map(\.byteCount) + module.programs.map { max(1, UInt64($0.instructions.count)) }
    let arena = try backend.allocate(sizes)
    do {
      return try fill(arena, with: module, identifier: identifier)
    } catch {
      backend.free(arena)
      throw error
    }
  }

  /// Writes again what a run only reads, and zeros into the rest, at the same addresses.
  func restore(_ model: ResidentModel) throws {
    _ = try fill(model.arena, with: model.module, identifier: model.identifier, isNew: false)
  }

  private func fill(
    _ arena: [DeviceAddress], with module: Module, identifier: UInt64, isNew: Bool = true
  ) throws -> ResidentModel {
    let regions = Array(arena.prefix(module.regions.count))
    for (region, address) in zip(module.regions, regions) {
      switch region.role {
      case .constant(let bytes), .microOps(let bytes):
        try backend.copyIn(bytes, to: address)
        backend.seal(address)
      case .workspace:
        // New memory holds zeros.
        if !isNew { try backend.copyIn([UInt8](repeating: 0, count: Int(region.byteCount)), to: address) }
      }
    }
    let programs = try module.programs.indices.map { index in
      try load(
        program: index, of: module, regions: regions, at: arena[module.regions.count + index], isNew: isNew)
    }
    return ResidentModel(
      identifier: identifier, module: module, regions: regions, programs: programs,
      memoryByteCount: module.regions.reduce(0) { $0 + $1.byteCount }
        + module.programs.reduce(0) { $0 + UInt64($1.instructions.count) })
  }

  private func load(
    program index: Int, of module: Module, regions: [DeviceAddress], at address: DeviceAddress, isNew: Bool
  ) throws -> ResidentModel.Program {
    let words: [InstructionWords]
    do throws(ProgramPatch.PatchError) {
      words = try ProgramPatch.words(
        of: module.programs[index], target: module.target, regions: regions)
    } catch {
      throw RuntimeError.programRefused(program: index, findings: ["\(error)"])
    }
    // The same words at the same addresses were checked before.
    if isNew {
      let findings = try ProgramCheck(module: module, regions: regions, window: backend.window).findings(
        words)
      guard findings.isEmpty else {
        throw RuntimeError.programRefused(program: index, findings: findings.map(\.description))
      }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(words.count * Limits.instructionBytes)
    for word in words { word.append(to: &bytes) }
    try backend.copyIn(bytes, to: address)
    backend.seal(address)
    backend.adopt(program: address, words)
    return ResidentModel.Program(
      address: address, count: UInt32(words.count), translation: backend.figures(of: address))
  }
}
