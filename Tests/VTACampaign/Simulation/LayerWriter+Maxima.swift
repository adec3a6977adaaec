import VTA

/// Maxima over windows, mostly as compiled programs have them.
extension LayerWriter {
  /// Max pooling of inputs, which an identity brings to the accumulator.
  mutating func poolInputs() {
    let (height, width, outputs) = (1 + below(4), 1 + below(5), 1 + below(3))
    let size = outputs * height * width
    guard 4 * size + outputs <= c.depth(.acc), size <= c.depth(.inp) else { return }
    let inputBase = chance(2) ? 0 : below(c.depth(.inp) - size + 1)
    for output in 0..<outputs { loadInputs(inputBase + output * height * width, height, width) }
    let weight = below(c.depth(.wgt))
    last = builder.load(
      Transfer(memory: .wgt, sramBase: weight, ySize: 1, xSize: 1, xStride: 1),
      from: ProgramBuilder.Location(region: 0, byteOffset: LayerProgram.identity(c, isExact: !chance(9))),
      after: before())
    if !chance(9) { reset(0, size) }
    for _ in 0..<(chance(9) ? 2 : 1) {
      compute(
        .gemm, [NestDimension(extent: size, dst: 1, src: 1)], MicroOp(dst: 0, src: inputBase, wgt: weight))
    }
    maxima(0, height, width, outputs)
  }

  /// Max pooling of a tile's results.
  mutating func pool(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
    // Without it, values beyond int8 are compared.
    if !chance(4) {
      alu(.min, .immediate(chance(6) ? 200 : 127), outputs, height * width, base, base)
      alu(.max, .immediate([-200, 150, -128, -128, -128, 0][below(6)]), outputs, height * width, base, base)
    }
    maxima(base, height, width, outputs)
  }

  /// The maximum over windows of a tile, and its store; some are the sources of others, bounded or not.
  private mutating func maxima(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
    var (base, height, width) = (base, height, width)
    let original = (base, height, width)
    for round in 0..<(chance(3) ? 2 : 1) {
      let end = round == 0 ? base + outputs * (height * width + 1) : base + outputs * height * width
      guard let next = maximum(base, height, width, outputs, behind: end) else { return }
      (base, height, width) = next
      for opcode in [ALUOpcode.max, .min] where chance(4) {
        alu(opcode, .immediate(below(200) - 100), outputs, height * width, base, base)
      }
    }
    store(base, height, width, outputs)
    if chance(9) { store(original.0, original.1, original.2, outputs) }
    if chance(9) {
      let operand: ALU.Operand = chance(2) ? .accumulator : .immediate(below(200) - 100)
      let source = operand == .accumulator && base > 0 ? base - 1 : base
      alu(chance(2) ? .min : .max, operand, outputs, height * width, base, source)
      store(base, height, width, outputs)
    }
  }

  /// - Parameter end: where results may begin.
  /// - Returns: where the results are, their rows and columns; `nil` if there is no room for them.
  private mutating func maximum(
    _ base: Int, _ height: Int, _ width: Int, _ outputs: Int, behind end: Int
  ) -> (Int, Int, Int)? {
    let pixels = height * width
    let (kernelHeight, kernelWidth, stride) = (1 + below(3), 1 + below(3), 1 + below(2))
    let (top, left) = (below(kernelHeight), below(kernelWidth))
    let rows = (height + top - 1) / stride + 1, columns = (width + left - 1) / stride + 1
    // Behind the constants; or over the values themselves, which later windows find changed.
    let result = chance(9) && rows * columns <= pixels ? base : end
    guard result + outputs * rows * columns <= c.depth(.acc) else { return nil }
    if result != base {
      if !chance(9) { reset(result, outputs * rows * columns) }
      let start = chance(5) ? below(600) - 300 : -128
      alu(chance(9) ? .min : .add, .immediate(start), outputs, rows * columns, result, result)
    }
    let odd = chance(6) ? below(kernelHeight * kernelWidth) : -1
    for tap in 0..<kernelHeight * kernelWidth {
      let (y, x) = (tap / kernelWidth - top, tap % kernelWidth - left)
      // Windows over borders leave the pixels beyond them out, but for some that take others' instead.
      let isBeyond = liberty(30)
      let ownRows = (0..<rows).filter { isBeyond || (0..<height).contains($0 * stride + y) }
      let ownColumns = (0..<columns).filter { isBeyond || (0..<width).contains($0 * stride + x) }
      guard let row = ownRows.first, let column = ownColumns.first else { continue }
      let source = base + (row * stride + y) * width + column * stride + x
      let end =
        source + (outputs - 1) * pixels + (ownRows.count - 1) * stride * width
        + (ownColumns.count - 1) * stride
      guard source >= 0, end < c.depth(.acc) else { continue }
      last = builder.compute(
        .alu(tap == odd ? operation() : .max, .accumulator),
        [
          // Two of its taps by one instruction.
          NestDimension(extent: chance(15) && end + 1 < c.depth(.acc) ? 2 : 1, dst: 0, src: 1),
          NestDimension(extent: outputs, dst: rows * columns, src: pixels),
          NestDimension(extent: ownRows.count, dst: columns, src: stride * width),
          NestDimension(extent: ownColumns.count, dst: 1, src: stride),
        ], base: MicroOp(dst: result + row * columns + column, src: source), after: before())
      if chance(12) {
        let bound = chance(3) ? 127 : below(300) - 150
        alu([.min, .max, .max, .add][below(4)], .immediate(bound), outputs, rows * columns, result, result)
      }
    }
    if !chance(4) {
      alu(.min, .immediate(chance(4) ? below(200) : 127), outputs, rows * columns, result, result)
    }
    return (result, rows, columns)
  }
}
