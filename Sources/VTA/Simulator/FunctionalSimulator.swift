/// The plain simulator: the definition of what a program means under a profile. Every faster path must equal it.
///
/// Three modules take instructions from their queues in order and are held back only by tokens
/// (reference/vta-hardware.md, section 4). Scratchpads start as zeros in every run.
package struct FunctionalSimulator {
  package let target: Target
  let instructionSet: InstructionSet
  var pads: Scratchpads
  /// What the last run did on which implementations differ; `nil`: nobody asked.
  private var monitor: PortabilityMonitor?

  /// - Parameter isStrict: collect ``observations``.
  package init(target: Target, isStrict: Bool = false) throws(SimulationError) {
    do {
      instructionSet = try InstructionSet(
        configuration: target.configuration, revision: target.profile.revision)
    } catch {
      throw .configuration(error)
    }
    self.target = target
    pads = Scratchpads(target)
    monitor = isStrict ? PortabilityMonitor(target.configuration) : nil
  }

  /// Uses of anything on which implementations differ, in the last run of a strict simulator.
  package var observations: [PortabilityMonitor.Observation] { monitor?.observations ?? [] }

  /// Runs a program to its end.
  ///
  /// - Parameters:
  ///   - instructionAddress: byte address of the first instruction.
  ///   - count: instructions in the stream; the last must be FINISH.
  ///   - schedule: order of the modules where tokens leave a choice.
  ///   - shouldContinue: asked between instructions; `false` stops the run with ``SimulationError/stopped(at:)``.
  package mutating func run(
    instructionAddress: UInt64, count: Int, memory: SimulatedMemory, schedule: Schedule = .inOrder,
    shouldContinue: () -> Bool = { true }
  ) throws(SimulationError) {
    pads = Scratchpads(target)
    if monitor != nil { monitor = PortabilityMonitor(target.configuration) }
    var dispatch = try fetch(instructionAddress, count, memory)
    var picker = ModulePicker(schedule)
    while let module = picker.next(dispatch), let index = dispatch.takeReady(module) {
      guard shouldContinue() else { throw .stopped(at: index) }
      let instruction = dispatch.instructions[index]
      monitor?.note(instruction, at: index, pads)
      try execute(instruction, at: index, memory)
      dispatch.complete(index)
    }
    let waiting = dispatch.waiting
    if !waiting.isEmpty {
      throw .deadlock(waiting.map { (waiting: $0, text: text(dispatch.instructions[$0.index])) })
    }
  }

  private func fetch(
    _ address: UInt64, _ count: Int, _ memory: SimulatedMemory
  ) throws(SimulationError) -> TokenDispatch {
    let words: [InstructionWords]
    do throws(MemoryFault) {
      words = InstructionWords.stream(
        UnsafeRawBufferPointer(
          try memory.bytes(at: address, count: count * Limits.instructionBytes)))
    } catch {
      throw .fetch(error)
    }
    var instructions: [Instruction] = []
    instructions.reserveCapacity(count)
    for (index, word) in words.enumerated() {
      do throws(CodingError) {
        instructions.append(try instructionSet.decode(word))
      } catch {
        throw .undecodable(index: index, error)
      }
    }
    guard instructions.last?.opcode == .finish else { throw .noFinish }
    return TokenDispatch(instructions, profile: target.profile)
  }

  private mutating func execute(
    _ instruction: Instruction, at index: Int, _ memory: SimulatedMemory
  ) throws(SimulationError) {
    do throws(ExecutionFault) {
      switch instruction.operation {
      case .load(let transfer): try load(transfer, memory)
      case .store(let transfer): try store(transfer, memory)
      case .gemm(let gemm): try self.gemm(gemm)
      case .alu(let alu): try self.alu(alu)
      case .finish: break
      }
    } catch {
      throw .fault(index: index, text: text(instruction), error)
    }
  }

  private func text(_ instruction: Instruction) -> String {
    Disassembler(instructionSet).text(instruction)
  }
}

/// Why one instruction cannot be executed.
package enum ExecutionFault: Error, Equatable, CustomStringConvertible {
  case memory(MemoryFault)
  case scratchpad(MemoryType, index: Int, depth: Int)
  case unsupported(String)

  package var description: String {
    switch self {
    case .memory(let fault): fault.description
    case .scratchpad(let memory, let index, let depth):
      "index \(index) of the \(memory) scratchpad is out of bounds; it has \(depth) elements"
    case .unsupported(let what): what
    }
  }
}

/// Why a run did not end with FINISH.
package enum SimulationError: Error, CustomStringConvertible {
  case configuration(ConfigurationError)
  case fetch(MemoryFault)
  case undecodable(index: Int, CodingError)
  case noFinish
  case fault(index: Int, text: String, ExecutionFault)
  /// What each unfinished module stands at.
  case deadlock([(waiting: TokenDispatch.Waiting, text: String)])
  case stopped(at: Int)

  package var description: String {
    switch self {
    case .configuration(let error): error.description
    case .fetch(let fault): "instructions can't be fetched: \(fault)"
    case .undecodable(let index, let error): "instruction \(index): \(error)"
    case .noFinish: "the program does not end with FINISH"
    case .fault(let index, let text, let fault): "instruction \(index) (\(text)): \(fault)"
    case .deadlock(let waiting):
      "deadlock: "
        + waiting.map { "instruction \($0.waiting.index) (\($0.text)) \($0.waiting.reason)" }
        .joined(separator: "; ")
    case .stopped(let index): "stopped at instruction \(index), past the deadline"
    }
  }
}
