internal import VTA
internal import VTAModule

/// ``MaxPool`` on the accelerator: an identity GEMM brings the window to the accumulator, MAX takes each tap over the
/// outputs for which it lies inside the input. Behind the staged window lies the tile of results.
extension LayerEmitter {
  mutating func emit(_ pool: MaxPool, output: Int, step: QuantizedStep) throws(CodegenError) {
    let value = graph.values[output]
    let identity = constants.place(constants.diagonalTile { _ in 1 }, .wgt)
    guard let (_, schedule) = best(pool, value) else {
      throw .layer(
        name: step.name, op: step.op,
        why: "a window of \(pool.kernel.height)×\(pool.kernel.width) does not fit into half a scratchpad")
    }
    lastNote = note(pool, output: output, schedule)
    try schedule.forEachTile(
      outputBlocks: blocks(value.channels), rows: value.height, columns: value.width
    ) { (channels, rows, columns) throws(CodegenError) in
      try emitTile(pool, schedule, output: output, identityAt: identity, channels, rows, columns)
    }
  }

  func best(_ pool: MaxPool, _ value: QuantizedValue) -> (cost: Int, schedule: LayerSchedule)? {
    LayerSchedule.best(
      outputBlocks: blocks(value.channels), rows: value.height, columns: value.width, orders: [.weightsStay]
    ) { work(pool, value, $0) }
  }

  /// Of the maximum itself, with the start at its lower bound and the clip at its upper.
  func aluSteps(_ pool: MaxPool, _ value: QuantizedValue) -> Int {
    blocks(value.channels) * value.height * value.width * (pool.kernel.height * pool.kernel.width + 2)
  }

  private func work(_ pool: MaxPool, _ value: QuantizedValue, _ schedule: LayerSchedule) -> Work? {
    let tiling = schedule.tiling
    let window =
      ((tiling.rows - 1) * pool.stride.height + pool.kernel.height)
      * ((tiling.columns - 1) * pool.stride.width + pool.kernel.width)
    let staged = tiling.outputBlocks * window
    guard staged <= inputs.capacity,
      staged + tiling.outputBlocks * tiling.rows * tiling.columns
        <= accumulators.capacity(contexts: schedule.contexts, constants: 0)
    else { return nil }
    func parts(_ extent: Int, _ size: Int) -> Int { (extent + size - 1) / size }
    let tiles =
      parts(blocks(value.channels), tiling.outputBlocks) * parts(value.height, tiling.rows)
      * parts(value.width, tiling.columns)
    let taps = pool.kernel.height * pool.kernel.width
    let outBytes =
      blocks(value.channels) * value.height * value.width * configuration.elementBytes(.out)
    return Work(
      dramBytes: tiles * staged * configuration.elementBytes(.inp) + outBytes,
      exposedBytes: schedule.contexts == 1 ? outBytes : 0, gemmSteps: tiles * staged,
      aluSteps: aluSteps(pool, value),
      instructions: tiles * (5 + taps + tiling.outputBlocks))
  }

  private mutating func emitTile(
    _ pool: MaxPool, _ schedule: LayerSchedule, output: Int, identityAt identity: UInt64,
    _ channels: Range<Int>,
    _ rows: Range<Int>, _ columns: Range<Int>
  ) throws(CodegenError) {
    let source = graph.values[pool.input]
    let rowWindow = inside(
      rows, pool.kernel.height, pool.stride.height, pool.padding.top, source.height)
    let columnWindow = inside(
      columns, pool.kernel.width, pool.stride.width, pool.padding.left, source.width)
    let input = try acquireInput(pool.input, channels, rowWindow, columnWindow)
    let weight = try acquireIdentity(identity)
    let width = columnWindow.extent
    let area = rowWindow.extent * width
    let pixels = rows.count * columns.count
    let size = channels.count * (area + pixels)
    let place = accumulators.next(contexts: schedule.contexts, constants: 0, size: size)
    let result = place.base + channels.count * area
    _ = builder.compute(
      .reset, [NestDimension(extent: size, dst: 1, src: 0)], base: MicroOp(dst: place.base, src: 0),
      after: place.free)
    let staged = builder.compute(
      .gemm,
      [
        NestDimension(extent: channels.count * rowWindow.extent, dst: width, src: width),
        NestDimension(extent: width, dst: 1, src: 1),
      ], base: MicroOp(dst: place.base, src: input.base, wgt: weight.base),
      after: [input.writer, weight.writer])
    inputs.read(input, by: staged)
    weights.read(weight, by: staged)
    let last = emitMaximum(
      pool, staged: place.base, result: result, channels.count, rows, columns, rowWindow, columnWindow)
    accumulators.stored(
      place.base..<place.base + size,
      by: storeTile(
        output, channels: channels, rows: rows, columns: columns, base: result, after: last))
  }

  /// The maximum of a staged window into a result that is 0; returns the last instruction.
  mutating func emitMaximum(
    _ pool: MaxPool, staged: Int, result: Int, _ channels: Int, _ rows: Range<Int>, _ columns: Range<Int>,
    _ rowWindow: InputWindow, _ columnWindow: InputWindow
  ) -> ProgramBuilder.Producer {
    func clip(_ opcode: ALUOpcode, _ value: Int) -> ProgramBuilder.Producer {
      builder.compute(
        .alu(opcode, .immediate(value)),
        [NestDimension(extent: channels * rows.count * columns.count, dst: 1, src: 1)],
        base: MicroOp(dst: result, src: result))
    }
    // From zero to the low bound, which every maximum is at least.
    _ = clip(.add, pool.low)
    emitTaps(pool, staged: staged, result: result, channels, rows, columns, rowWindow, columnWindow)
    return clip(.min, pool.high)
  }

  private mutating func emitTaps(
    _ pool: MaxPool, staged: Int, result: Int, _ channels: Int, _ rows: Range<Int>,
    _ columns: Range<Int>, _ rowWindow: InputWindow, _ columnWindow: InputWindow
  ) {
    let width = columnWindow.extent
    let area = rowWindow.extent * width
    for tapRow in 0..<pool.kernel.height {
      let validRows = taking(tapRow, rows, pool.stride.height, pool.padding.top, rowWindow.valid)
      for tapColumn in 0..<pool.kernel.width {
        let validColumns = taking(
          tapColumn, columns, pool.stride.width, pool.padding.left, columnWindow.valid)
        guard !validRows.isEmpty, !validColumns.isEmpty else { continue }
        let inputRow =
          validRows.lowerBound * pool.stride.height + tapRow - pool.padding.top
          - rowWindow.valid.lowerBound
        let inputColumn =
          validColumns.lowerBound * pool.stride.width + tapColumn - pool.padding.left
          - columnWindow.valid.lowerBound
        _ = builder.compute(
          .alu(.max, .accumulator),
          [
            NestDimension(extent: channels, dst: rows.count * columns.count, src: area),
            NestDimension(
              extent: validRows.count, dst: columns.count, src: pool.stride.height * width),
            NestDimension(extent: validColumns.count, dst: 1, src: pool.stride.width),
          ],
          base: MicroOp(
            dst: result + (validRows.lowerBound - rows.lowerBound) * columns.count
              + validColumns.lowerBound - columns.lowerBound,
            src: staged + inputRow * width + inputColumn))
      }
    }
  }

  /// The window without padding.
  func inside(
    _ outputs: Range<Int>, _ kernel: Int, _ stride: Int, _ padding: Int, _ extent: Int
  ) -> InputWindow {
    let whole = InputWindow(
      outputs: outputs, taps: 0..<kernel, stride: stride, padding: padding, extent: extent)
    return InputWindow(valid: whole.valid)
  }

  /// Outputs whose tap lies inside the input.
  private func taking(
    _ tap: Int, _ outputs: Range<Int>, _ stride: Int, _ padding: Int, _ valid: Range<Int>
  ) -> Range<Int> {
    let inside = outputs.filter { valid.contains($0 * stride + tap - padding) }
    guard let first = inside.first, let last = inside.last else {
      return outputs.lowerBound..<outputs.lowerBound
    }
    return first..<last + 1
  }

  private mutating func acquireIdentity(_ offset: UInt64) throws(CodegenError) -> ScratchpadSlots.Lease {
    let location = ProgramBuilder.Location(region: constantRegion, byteOffset: offset)
    var slots = weights
    let key = ScratchpadSlots.Key(region: constantRegion, byteOffset: offset, shape: [1, 1, 1])
    let lease = try slots.acquire(key, size: 1) { (base, after) throws(CodegenError) in
      builder.load(
        Transfer(memory: .wgt, sramBase: base, ySize: 1, xSize: 1, xStride: 1), from: location,
        after: after)
    }
    weights = slots
    return lease
  }
}
