/// What a stretch of a program does, counted from its instructions. Counts of hostile programs wrap.
package struct ProgramStatistics: Hashable, Sendable {
  package private(set) var instructions = 0
  /// Tile products, resets excluded, as VTA's own simulator counts them.
  package private(set) var gemmSteps = 0
  package private(set) var aluSteps = 0
  package private(set) var microOpsLoaded = 0
  /// Bytes that cross the memory port, padding excluded, by memory. ACC_8BIT counts as acc.
  package private(set) var dramBytes: [MemoryType: Int] = [:]

  package init(_ stream: some Sequence<Instruction>, _ configuration: HardwareConfiguration) {
    for instruction in stream {
      instructions += 1
      switch instruction.operation {
      case .load(let transfer):
        count(transfer, transfer.memory, configuration)
        if transfer.memory == .uop { microOpsLoaded &+= transfer.ySize * transfer.xSize }
      case .store(let transfer): count(transfer, .out, configuration)
      case .gemm(let gemm): if !gemm.reset { gemmSteps &+= gemm.loops.stepCount }
      case .alu(let alu): aluSteps &+= alu.loops.stepCount
      case .finish: break
      }
    }
  }

  private mutating func count(
    _ transfer: Transfer, _ memory: MemoryType, _ configuration: HardwareConfiguration
  ) {
    let bytes = transfer.ySize * transfer.xSize * configuration.elementBytes(memory)
    dramBytes[memory == .acc8bit ? .acc : memory, default: 0] &+= bytes
  }
}
