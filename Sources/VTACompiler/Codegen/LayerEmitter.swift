internal import VTA
internal import VTAModule

/// What emitting any layer needs: the program so far, the scratchpad halves, the constants, and where tensors lie.
struct LayerEmitter {
  let target: Target
  let graph: QuantizedGraph
  let tensors: [DeviceTensor]
  let constantRegion: Int
  var builder: ProgramBuilder
  var constants: ConstantImage
  var inputs: ScratchpadSlots
  var weights: ScratchpadSlots
  var accumulators: AccumulatorHalves
  /// The last STORE into each tensor.
  var lastStore: [Int: ProgramBuilder.Producer] = [:]

  init(
    target: Target, graph: QuantizedGraph, tensors: [DeviceTensor], constantRegion: Int, microOpRegion: Int
  ) {
    let c = target.configuration
    self.target = target
    self.graph = graph
    self.tensors = tensors
    self.constantRegion = constantRegion
    builder = ProgramBuilder(target: target, microOpRegion: microOpRegion)
    constants = ConstantImage(c)
    inputs = ScratchpadSlots(depth: c.depth(.inp))
    weights = ScratchpadSlots(depth: c.depth(.wgt))
    accumulators = AccumulatorHalves(depth: c.depth(.acc))
  }

  var configuration: HardwareConfiguration { target.configuration }

  func blocks(_ channels: Int) -> Int {
    (channels + configuration.block - 1) / configuration.block
  }

  /// A program starts with empty scratchpads: those of the one before are another run's.
  mutating func startProgram(microOpRegion: Int) {
    builder = ProgramBuilder(target: target, microOpRegion: microOpRegion)
    inputs = ScratchpadSlots(depth: configuration.depth(.inp))
    weights = ScratchpadSlots(depth: configuration.depth(.wgt))
    accumulators = AccumulatorHalves(depth: configuration.depth(.acc))
    lastStore = [:]
  }

  /// LOADs of a window of channel blocks of a tensor, dense in the slot: `channels × rows × columns`.
  mutating func loadWindow(
    _ value: Int, channels: Range<Int>, rows: InputWindow, columns: InputWindow, base: Int,
    after producers: [ProgramBuilder.Producer?]
  ) -> ProgramBuilder.Producer? {
    let tensor = tensors[value]
    let producers = producers + [lastStore[value]]
    let area = tensor.height * tensor.width
    let isWhole =
      rows.extent == tensor.height && columns.extent == tensor.width
      && rows.valid.count == tensor.height && columns.valid.count == tensor.width
    if isWhole && area <= Limits.transferExtentMax {
      let transfer = Transfer(
        memory: .inp, sramBase: base, ySize: channels.count, xSize: area, xStride: area)
      return builder.load(
        transfer, from: location(tensor, channels.lowerBound, 0, 0), after: producers)
    }
    var last: ProgramBuilder.Producer?
    for (index, channel) in channels.enumerated() {
      let transfer = Transfer(
        memory: .inp, sramBase: base + index * rows.extent * columns.extent,
        ySize: rows.valid.count, xSize: columns.valid.count, xStride: tensor.width,
        yPad0: rows.before, yPad1: rows.after, xPad0: columns.before, xPad1: columns.after)
      last = builder.load(
        transfer,
        from: location(tensor, channel, rows.valid.lowerBound, columns.valid.lowerBound),
        after: producers)
    }
    return last
  }

  /// STOREs of a tile that is dense in the accumulator: `channels × rows × columns`.
  mutating func storeTile(
    _ value: Int, channels: Range<Int>, rows: Range<Int>, columns: Range<Int>, base: Int,
    after producer: ProgramBuilder.Producer?
  ) -> ProgramBuilder.Producer? {
    let tensor = tensors[value]
    let area = tensor.height * tensor.width
    var last: ProgramBuilder.Producer?
    if columns.count == tensor.width && area <= Limits.transferExtentMax {
      let size = rows.count * columns.count
      last = builder.store(
        Transfer(memory: .out, sramBase: base, ySize: channels.count, xSize: size, xStride: area),
        to: location(tensor, channels.lowerBound, rows.lowerBound, 0), after: [producer])
    } else {
      for (index, channel) in channels.enumerated() {
        last = builder.store(
          Transfer(
            memory: .out, sramBase: base + index * rows.count * columns.count, ySize: rows.count,
            xSize: columns.count, xStride: tensor.width),
          to: location(tensor, channel, rows.lowerBound, columns.lowerBound), after: [producer])
      }
    }
    lastStore[value] = last
    return last
  }

  private func location(
    _ tensor: DeviceTensor, _ channel: Int, _ row: Int, _ column: Int
  ) -> ProgramBuilder.Location {
    let element = (channel * tensor.height + row) * tensor.width + column
    return ProgramBuilder.Location(
      region: tensor.region,
      byteOffset: tensor.byteOffset + UInt64(element) * UInt64(configuration.elementBytes(.inp)))
  }

  /// Refuses what the fields of LOAD can't say.
  func checkPadding(_ padding: Padding, _ step: QuantizedStep) throws(CodegenError) {
    let largest = max(padding.top, padding.left, padding.bottom, padding.right)
    if largest > Limits.paddingMax {
      throw .layer(
        name: step.name, op: step.op,
        why: "padding of \(largest) on one side; VTA pads at most \(Limits.paddingMax)")
    }
  }
}

/// Two halves of the accumulator: one is computed while the other is stored.
struct AccumulatorHalves {
  let capacity: Int
  private var stores: [ProgramBuilder.Producer?] = [nil, nil]
  private var turn = 0

  init(depth: Int) { capacity = depth / 2 }

  /// The half to use next, and the STORE that must have read it before.
  mutating func next() -> (base: Int, free: ProgramBuilder.Producer?) {
    turn = 1 - turn
    return (turn * capacity, stores[turn])
  }

  mutating func stored(by store: ProgramBuilder.Producer?) { stores[turn] = store }
}
