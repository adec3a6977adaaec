/// Builds the instruction stream of one program: codegen names what an instruction must wait for, the builder turns
/// that into the fewest dependence tokens, loads micro-kernels when they are not resident, and notes relocations.
///
/// Instructions are emitted in an order in which they could run one after the other, so the stream cannot deadlock:
/// an instruction can only wait for one that exists already.
package struct ProgramBuilder {
  /// An emitted instruction, to be named as the producer of what a later one consumes.
  package struct Producer: Hashable, Sendable {
    fileprivate let index: Int
  }

  /// Where in which region a transfer begins.
  package struct Location: Hashable, Sendable {
    package let region: Int
    package let byteOffset: UInt64

    package init(region: Int, byteOffset: UInt64) {
      self.region = region
      self.byteOffset = byteOffset
    }
  }

  package enum Computation: Hashable, Sendable {
    case reset
    case gemm
    case alu(ALUOpcode, ALU.Operand)
  }

  package struct Relocation: Hashable, Sendable {
    package let instruction: Int
    package let location: Location
  }

  package struct Result: Sendable {
    package let instructions: [Instruction]
    package let relocations: [Relocation]
    /// Contents of the micro-op region.
    package let microOps: [MicroOp]
  }

  private let target: Target
  private let microOpRegion: Int
  private let microOpsMax: Int
  private var instructions: [Instruction] = []
  private var relocations: [Relocation] = []
  private var kernels: MicroKernels
  /// `(producer, consumer)` of neighbouring modules.
  private var dependences: [(producer: Int, consumer: Int)] = []
  /// A compute instruction that waits for all stores up to `store`.
  private var relay: (store: Int, compute: Int)?
  private var lastOfModule: [Int?] = [nil, nil, nil]
  /// Tiles have few shapes, and finding a plan takes longer than all the rest.
  private var plans: [PlanKey: LoopNestPlan] = [:]

  private struct PlanKey: Hashable {
    let isALU: Bool
    let dimensions: [NestDimension]
  }

  /// - Parameter microOpRegion: index of the region that will hold the micro-op image.
  package init(target: Target, microOpRegion: Int) {
    self.target = target
    self.microOpRegion = microOpRegion
    let depth = target.profile.microOpDepth(target.configuration)
    // A kernel may take a quarter of the buffer, so that those of a tile stay resident together.
    microOpsMax = max(2, depth / 4)
    kernels = MicroKernels(depth: depth)
  }

  package var count: Int { instructions.count }

  /// LOAD of inputs, weights or accumulators.
  @discardableResult
  package mutating func load(
    _ transfer: Transfer, from location: Location, after producers: [Producer?] = []
  ) -> Producer {
    emit(.load(transfer), location, producers)
  }

  @discardableResult
  package mutating func store(
    _ transfer: Transfer, to location: Location, after producers: [Producer?] = []
  ) -> Producer {
    emit(.store(transfer), location, producers)
  }

  /// A loop nest on the GEMM core or the ALU, as one instruction or several.
  ///
  /// - Returns: the last instruction.
  package mutating func compute(
    _ computation: Computation, _ dimensions: [NestDimension], base: MicroOp,
    after producers: [Producer?] = []
  ) -> Producer {
    let plan = plan(computation, dimensions)
    var last = Producer(index: -1)
    for kernel in plan.kernels(base: base) {
      last = emit(computation, plan, microOps: kernel, producers)
    }
    return last
  }

  private mutating func plan(_ computation: Computation, _ dimensions: [NestDimension]) -> LoopNestPlan {
    var isALU = false
    if case .alu = computation { isALU = true }
    let key = PlanKey(isALU: isALU, dimensions: dimensions)
    if let known = plans[key] { return known }
    let factors = factorLimits(computation)
    let plan = LoopNestPlan(dimensions, microOpsMax: microOpsMax) {
      $0.dst <= factors.dst && $0.src <= factors.src && $0.wgt <= factors.wgt
    }
    plans[key] = plan
    return plan
  }

  /// Ends the program: FINISH runs when every module has nothing left to do.
  package mutating func finish() -> Result {
    let ends = [lastOfModule[ExecutionModule.load.rawValue], lastOfModule[ExecutionModule.store.rawValue]]
    _ = emit(Self.computeNop, nil, ends.map { $0.map(Producer.init(index:)) })
    instructions.append(Instruction(.finish))
    insertTokens()
    return Result(instructions: instructions, relocations: relocations, microOps: kernels.image)
  }

  // MARK: Emission

  /// Carries dependence flags on the compute queue (section 2.7).
  private static let computeNop = Operation.load(
    Transfer(memory: .uop, sramBase: 0, ySize: 0, xSize: 0, xStride: 0))

  private mutating func emit(
    _ operation: Operation, _ location: Location?, _ producers: [Producer?]
  ) -> Producer {
    let instruction = Instruction(operation)
    let module = instruction.module
    // A producer two modules away is reached through a compute instruction in between.
    let resolved = producers.compactMap { $0 }.map { producer in
      let distance = abs(instructions[producer.index].module.rawValue - module.rawValue)
      return distance == 2 ? relayed(producer) : producer
    }
    let index = instructions.count
    instructions.append(instruction)
    lastOfModule[module.rawValue] = index
    if let location { relocations.append(Relocation(instruction: index, location: location)) }
    for producer in resolved where instructions[producer.index].module != module {
      dependences.append((producer.index, index))
    }
    return Producer(index: index)
  }

  /// A compute instruction after `store`; the last one serves if it is late enough.
  private mutating func relayed(_ producer: Producer) -> Producer {
    if let relay, relay.store >= producer.index { return Producer(index: relay.compute) }
    let compute = emit(Self.computeNop, nil, [producer])
    relay = (producer.index, compute.index)
    return compute
  }

  private mutating func emit(
    _ computation: Computation, _ plan: LoopNestPlan, microOps: [MicroOp], _ producers: [Producer?]
  ) -> Producer {
    let begin = resident(microOps)
    let loops = LoopNest(
      uopBegin: begin, uopEnd: begin + microOps.count, iterOut: plan.outer.extent,
      iterIn: plan.inner.extent, dstFactorOut: plan.outer.dst, dstFactorIn: plan.inner.dst,
      srcFactorOut: plan.outer.src, srcFactorIn: plan.inner.src)
    let operation: Operation =
      switch computation {
      case .reset: .gemm(Gemm(reset: true, loops: loops))
      case .gemm:
        .gemm(
          Gemm(
            reset: false, loops: loops, wgtFactorOut: plan.outer.wgt, wgtFactorIn: plan.inner.wgt))
      case .alu(let opcode, let operand): .alu(ALU(opcode: opcode, operand: operand, loops: loops))
      }
    return emit(operation, nil, producers)
  }

  private mutating func resident(_ microOps: [MicroOp]) -> Int {
    let placement = kernels.place(microOps)
    guard let load = placement.load else { return placement.begin }
    // Longer loads lose micro-ops where they arrive in pairs: one burst each.
    var most = Limits.transferExtentMax
    if case .pairs(let beatsPerBurst) = target.profile.microOpLoad { most = 2 * beatsPerBurst }
    for start in stride(from: 0, to: load.count, by: most) {
      let count = min(most, load.count - start)
      let transfer = Transfer(
        memory: .uop, sramBase: placement.begin + start, ySize: 1, xSize: count, xStride: count)
      let offset = UInt64((load.imageIndex + start) * Limits.microOpBytes)
      _ = emit(.load(transfer), Location(region: microOpRegion, byteOffset: offset), [])
    }
    return placement.begin
  }

  /// Largest steps that the factor fields hold.
  private func factorLimits(_ computation: Computation) -> (dst: Int, src: Int, wgt: Int) {
    let c = target.configuration
    let acc = c.depth(.acc) - 1
    let inp = c.depth(.inp) - 1
    return switch computation {
    case .reset, .gemm: (acc, inp, c.depth(.wgt) - 1)
    case .alu: (acc, target.profile.revision == .a ? inp : acc, Int.max)
    }
  }

  // MARK: Tokens

  /// Between each pair of neighbouring modules tokens are anonymous: the k-th pop takes the k-th push. So of all
  /// dependences, sorted by consumer, those are kept whose producer is later than all before: each kept one then
  /// has a push and a pop of its own, and implies the dropped ones.
  private mutating func insertTokens() {
    var latest: [Int: Int] = [:]
    for (producer, consumer) in dependences.sorted(by: {
      ($0.consumer, $1.producer) < ($1.consumer, $0.producer)
    }) {
      let from = instructions[producer].module
      let to = instructions[consumer].module
      let pair = from.rawValue * 3 + to.rawValue
      if let known = latest[pair], known >= producer { continue }
      latest[pair] = producer
      let isForward = from.rawValue < to.rawValue
      instructions[producer].flags.insert(isForward ? .pushNext : .pushPrev)
      instructions[consumer].flags.insert(isForward ? .popPrev : .popNext)
    }
  }
}
