/// The plain simulator: the definition of what a program means under a profile. Every faster path must equal it.
///
/// Three modules take instructions from their queues in order and are held back only by tokens
/// (reference/vta-hardware.md, section 4). Scratchpads start as zeros in every run.
package struct FunctionalSimulator {
  package let target: Target
  let instructionSet: InstructionSet
  var pads: Scratchpads

  /// - Throws: ``SimulationError/unsupportedProfile(_:)`` for semantics that no recording confirms yet.
  package init(target: Target) throws(SimulationError) {
    guard target.profile.isConfirmedByRecordings else {
      throw .unsupportedProfile(target.profile.name)
    }
    do {
      instructionSet = try InstructionSet(
        configuration: target.configuration, revision: target.profile.revision)
    } catch {
      throw .configuration(error)
    }
    self.target = target
    pads = Scratchpads(target)
  }

  /// Runs a program to its end.
  ///
  /// - Parameters:
  ///   - instructionAddress: byte address of the first instruction.
  ///   - count: instructions in the stream; the last must be FINISH.
  ///   - shouldContinue: asked between instructions; `false` stops the run with ``SimulationError/stopped(at:)``.
  package mutating func run(
    instructionAddress: UInt64, count: Int, memory: SimulatedMemory,
    shouldContinue: () -> Bool = { true }
  ) throws(SimulationError) {
    pads = Scratchpads(target)
    var dispatch = try fetch(instructionAddress, count, memory)
    while true {
      var moved = false
      for module in ExecutionModule.allCases {
        while let index = dispatch.takeReady(module) {
          guard shouldContinue() else { throw .stopped(at: index) }
          let instruction = dispatch.instructions[index]
          try execute(instruction, at: index, memory)
          dispatch.complete(index)
          moved = true
        }
      }
      if !moved { break }
    }
    let waiting = dispatch.waiting
    if !waiting.isEmpty {
      throw .deadlock(waiting.map { (index: $0, text: text(dispatch.instructions[$0])) })
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
    return TokenDispatch(instructions)
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
  case unsupportedProfile(String)
  case configuration(ConfigurationError)
  case fetch(MemoryFault)
  case undecodable(index: Int, CodingError)
  case noFinish
  case fault(index: Int, text: String, ExecutionFault)
  /// The instruction at the head of each blocked queue waits for a token that never comes.
  case deadlock([(index: Int, text: String)])
  case stopped(at: Int)

  package var description: String {
    switch self {
    case .unsupportedProfile(let name):
      "the simulator does not implement the profile \(name) yet; it has "
        + HardwareProfile.all.filter(\.isConfirmedByRecordings).map(\.name).joined(separator: ", ")
    case .configuration(let error): error.description
    case .fetch(let fault): "instructions can't be fetched: \(fault)"
    case .undecodable(let index, let error): "instruction \(index): \(error)"
    case .noFinish: "the program does not end with FINISH"
    case .fault(let index, let text, let fault): "instruction \(index) (\(text)): \(fault)"
    case .deadlock(let waiting):
      "deadlock: "
        + waiting.map { "instruction \($0.index) (\($0.text))" }.joined(separator: ", ")
        + " wait\(waiting.count == 1 ? "s" : "") for a token that never comes"
    case .stopped(let index): "stopped at instruction \(index), past the deadline"
    }
  }
}
