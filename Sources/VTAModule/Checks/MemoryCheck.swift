internal import VTA

/// Regions, the tensors in them and the addresses that programs get from them.
struct MemoryCheck {
  private let module: Module
  private let configuration: HardwareConfiguration

  init(_ module: Module) {
    self.module = module
    configuration = module.target.configuration
  }

  func check() throws(ModuleError) {
    try checkRegions()
    for (index, tensor) in module.deviceTensors.enumerated() {
      try check(tensor, "device tensor \(index) (\(tensor.name))")
    }
    let set: InstructionSet
    do throws(ConfigurationError) {
      set = try InstructionSet(configuration: configuration, revision: module.target.profile.revision)
    } catch {
      throw ModuleError("target", "\(error)")
    }
    for (index, program) in module.programs.enumerated() { try check(program, set, "program \(index)") }
  }

  private func checkRegions() throws(ModuleError) {
    var total: UInt64 = 0
    for (index, region) in module.regions.enumerated() {
      let place = "region \(index) (\(region.name))"
      switch region.role {
      case .constant(let bytes), .microOps(let bytes):
        guard region.byteCount == UInt64(bytes.count) else {
          throw ModuleError(place, "it has \(bytes.count) bytes, but declares \(region.byteCount)")
        }
      case .workspace: break
      }
      guard region.byteCount >= 1, region.byteCount <= ModuleLimits.memoryBytesMax - total else {
        throw ModuleError(
          place, "it is empty, or with it all regions have more than \(ModuleLimits.memoryBytesMax) bytes")
      }
      total += region.byteCount
    }
  }

  private func check(_ tensor: DeviceTensor, _ place: String) throws(ModuleError) {
    guard module.regions.indices.contains(tensor.region), module.regions[tensor.region].role == .workspace
    else {
      throw ModuleError(place, "region \(tensor.region) is no workspace")
    }
    _ = try ModuleCheck.product(
      [tensor.channels, tensor.height, tensor.width], maximum: ModuleLimits.elementsMax, place)
    if let unfolding = tensor.unfolding { try check(unfolding, tensor, place) }
    // With all lanes, so that the packed tensor is bounded too.
    let extents = tensor.packedExtents
    let blocks = (extents.channels + configuration.block - 1) / configuration.block
    _ = try ModuleCheck.product(
      [configuration.batch * configuration.block, blocks, extents.height, extents.width],
      maximum: ModuleLimits.elementsMax, place)
    let region = module.regions[tensor.region]
    let byteCount = tensor.byteCount(configuration)
    guard tensor.byteOffset % UInt64(configuration.elementBytes(.inp)) == 0,
      tensor.byteOffset <= region.byteCount, byteCount <= region.byteCount - tensor.byteOffset
    else {
      throw ModuleError(
        place,
        "its \(byteCount) bytes at \(tensor.byteOffset) are not aligned or lie outside region \(tensor.region)"
      )
    }
    guard tensor.scale.isFinite, tensor.scale > 0 else {
      throw ModuleError(place, "its scale \(tensor.scale) is no positive number")
    }
    let limit = 1 << (configuration.inpBits - 1)
    guard (-limit..<limit).contains(tensor.zeroPoint) else {
      throw ModuleError(
        place, "its zero point \(tensor.zeroPoint) does not fit into \(configuration.inpBits) bits")
    }
  }

  private func check(_ unfolding: Unfolding, _ tensor: DeviceTensor, _ place: String) throws(ModuleError) {
    let positive = [unfolding.rows, unfolding.columns, unfolding.rowStep, unfolding.columnStep]
    _ = try ModuleCheck.product(
      [tensor.channels, unfolding.rows, unfolding.columns, unfolding.height, unfolding.width],
      maximum: ModuleLimits.elementsMax, place)
    guard positive.allSatisfy({ (1...ModuleLimits.unfoldingMax).contains($0) }),
      (0...ModuleLimits.unfoldingMax).contains(unfolding.top),
      (0...ModuleLimits.unfoldingMax).contains(unfolding.left),
      unfolding.covers(height: tensor.height, width: tensor.width)
    else {
      throw ModuleError(place, "its elements do not cover its \(tensor.height)×\(tensor.width) positions")
    }
  }

  private func check(
    _ program: DeviceProgram, _ set: InstructionSet, _ place: String
  ) throws(ModuleError) {
    guard !program.instructions.isEmpty, program.instructions.count % Limits.instructionBytes == 0,
      UInt32(exactly: program.instructionCount) != nil
    else { throw ModuleError(place, "\(program.instructions.count) bytes are no instruction stream") }
    var next = 0
    for (index, relocation) in program.relocations.enumerated() {
      let place = "\(place), relocation \(index)"
      guard relocation.instruction >= next, relocation.instruction < program.instructionCount else {
        throw ModuleError(place, "instruction \(relocation.instruction) is out of order or out of range")
      }
      next = relocation.instruction + 1
      guard module.regions.indices.contains(relocation.region),
        relocation.byteOffset < module.regions[relocation.region].byteCount
      else {
        throw ModuleError(place, "byte \(relocation.byteOffset) of region \(relocation.region) doesn't exist")
      }
      guard let transfer = program.transfer(relocation.instruction, set) else {
        throw ModuleError(place, "instruction \(relocation.instruction) is neither LOAD nor STORE")
      }
      let memory = transfer.memory
      guard relocation.byteOffset % UInt64(configuration.elementBytes(memory)) == 0 else {
        throw ModuleError(place, "byte \(relocation.byteOffset) is not the start of an element of \(memory)")
      }
      guard transfer.dramBase == 0 else {
        throw ModuleError(place, "instruction \(relocation.instruction) has an address of its own")
      }
    }
  }
}

extension DeviceProgram {
  package var instructionCount: Int { instructions.count / Limits.instructionBytes }

  func words(_ index: Int) -> InstructionWords {
    let start = index * Limits.instructionBytes
    return InstructionWords(
      instructions.littleEndian(at: start, as: UInt64.self),
      instructions.littleEndian(at: start + 8, as: UInt64.self))
  }

  /// Memory type of a LOAD or STORE, `nil` for anything else.
  func memory(of index: Int, _ set: InstructionSet) -> MemoryType? { transfer(index, set)?.memory }

  /// What a LOAD or STORE moves, `nil` for anything else.
  func transfer(_ index: Int, _ set: InstructionSet) -> Transfer? {
    switch try? set.decode(words(index)).operation {
    case .load(let transfer), .store(let transfer): return transfer
    case .gemm, .alu, .finish, nil: return nil
    }
  }
}
