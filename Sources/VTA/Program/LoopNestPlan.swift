/// One dimension of an affine loop nest: how far each index moves per iteration.
package struct NestDimension: Hashable, Sendable {
  package let extent: Int
  package let dst: Int
  package let src: Int
  package let wgt: Int

  package init(extent: Int, dst: Int, src: Int, wgt: Int = 0) {
    self.extent = extent
    self.dst = dst
    self.src = src
    self.wgt = wgt
  }

  static let one = NestDimension(extent: 1, dst: 0, src: 0)

  /// A dimension that adds to the same accumulator again.
  var isReduction: Bool { dst == 0 }
}

/// How a loop nest of any depth becomes instructions: two dimensions are hardware loops, some are unrolled into
/// micro-ops, the rest into instructions.
///
/// Chosen by the cost of HLS hardware (reference/vta-hardware.md, section 5.6): an inner iteration takes one cycle
/// per micro-op plus the drain of the pipeline. Micro-ops that use an accumulator again keep the distance that HLS
/// asks for (section 3.7): reductions are unrolled outside of at least three accumulators, or not at all. A dimension may
/// be cut in two, one part looped and the other unrolled: that fills the pipeline with few micro-ops.
struct LoopNestPlan {
  var outer: NestDimension
  var inner: NestDimension
  /// Innermost last.
  var unrolled: [NestDimension]
  var instructions: [NestDimension]

  private static let drainCycles = 10

  /// - Parameters:
  ///   - microOpsMax: most micro-ops in a kernel.
  ///   - canLoop: whether the hardware's factor fields can hold the dimension's steps.
  init(_ dimensions: [NestDimension], microOpsMax: Int, canLoop: (NestDimension) -> Bool) {
    let whole = dimensions.filter { $0.extent != 1 }
    var best: (cost: Int, plan: LoopNestPlan)?
    for dimensions in [whole] + whole.indices.flatMap({ Self.cuts(whole, at: $0) }) {
      Self.search(dimensions, microOpsMax, canLoop, &best)
    }
    // Unrolling everything into instructions is always possible.
    self = best?.plan ?? LoopNestPlan(.one, .one, [], whole)
  }

  /// The nest with one dimension as two, the inner part of some sizes that divide it.
  private static func cuts(_ dimensions: [NestDimension], at index: Int) -> [[NestDimension]] {
    let cut = dimensions[index]
    let divisors = (2...64).filter { cut.extent % $0 == 0 && $0 < cut.extent }
    return divisors.map { size in
      var result = dimensions
      result[index] = NestDimension(
        extent: cut.extent / size, dst: cut.dst * size, src: cut.src * size, wgt: cut.wgt * size)
      result.insert(NestDimension(extent: size, dst: cut.dst, src: cut.src, wgt: cut.wgt), at: index + 1)
      return result
    }
  }

  private static func search(
    _ dimensions: [NestDimension], _ microOpsMax: Int, _ canLoop: (NestDimension) -> Bool,
    _ best: inout (cost: Int, plan: LoopNestPlan)?
  ) {
    let n = dimensions.count
    for split in 0..<(1 << n) {
      let instructions = (0..<n).filter { split & (1 << $0) != 0 }.map { dimensions[$0] }
      let rest = (0..<n).filter { split & (1 << $0) == 0 }
      for plan in Self.candidates(rest.map { dimensions[$0] }, instructions, canLoop) {
        guard let cost = plan.cost(microOpsMax) else { continue }
        if cost < (best?.cost ?? .max) { best = (cost, plan) }
      }
    }
  }

  private init(
    _ outer: NestDimension, _ inner: NestDimension, _ unrolled: [NestDimension],
    _ instructions: [NestDimension]
  ) {
    self.outer = outer
    self.inner = inner
    self.unrolled = unrolled
    self.instructions = instructions
  }

  private static func candidates(
    _ dimensions: [NestDimension], _ instructions: [NestDimension], _ canLoop: (NestDimension) -> Bool
  ) -> [LoopNestPlan] {
    let n = dimensions.count
    var plans = [LoopNestPlan(.one, .one, unrollOrder(dimensions), instructions)]
    for i in 0..<n where canLoop(dimensions[i]) {
      let withoutI = dimensions.indices.filter { $0 != i }
      plans.append(
        LoopNestPlan(.one, dimensions[i], unrollOrder(withoutI.map { dimensions[$0] }), instructions))
      for j in (i + 1)..<max(i + 1, n) where canLoop(dimensions[j]) {
        let rest = dimensions.indices.filter { $0 != i && $0 != j }.map { dimensions[$0] }
        plans.append(LoopNestPlan(dimensions[i], dimensions[j], unrollOrder(rest), instructions))
      }
    }
    return plans
  }

  private static func unrollOrder(_ dimensions: [NestDimension]) -> [NestDimension] {
    dimensions.filter(\.isReduction) + dimensions.filter { !$0.isReduction }
  }

  /// Cycles; `nil` if the plan breaks a limit.
  private func cost(_ microOpsMax: Int) -> Int? {
    let count = unrolled.reduce(1) { $0 * $1.extent }
    guard count <= microOpsMax, outer.extent <= Limits.loopExtentMax, inner.extent <= Limits.loopExtentMax
    else { return nil }
    let accumulators = unrolled.filter { !$0.isReduction }.reduce(1) { $0 * $1.extent }
    let repeats = count > accumulators
    guard !repeats || accumulators >= Limits.accumulatorReuseDistance else { return nil }
    let perInstruction = outer.extent * inner.extent * (count + Self.drainCycles) + count
    return instructions.reduce(1) { $0 * $1.extent } * (perInstruction + Self.drainCycles)
  }

  /// The micro-ops of each instruction, for a nest that starts at `base`.
  func kernels(base: MicroOp) -> [[MicroOp]] {
    Self.points(instructions, from: base).map { Self.points(unrolled, from: $0) }
  }

  private static func points(_ dimensions: [NestDimension], from base: MicroOp) -> [MicroOp] {
    dimensions.reduce([base]) { points, dimension in
      points.flatMap { point in
        (0..<dimension.extent).map { index in
          MicroOp(
            dst: point.dst + index * dimension.dst, src: point.src + index * dimension.src,
            wgt: point.wgt + index * dimension.wgt)
        }
      }
    }
  }
}
