internal import VTA
internal import VTAModule

/// What emitting any layer needs: the program so far, the scratchpad halves, the constants, and where tensors lie.
struct LayerEmitter {
  let target: Target
  let graph: QuantizedGraph
  let tensors: [DeviceTensor]
  let joined: JoinedTensors
  let constantRegion: Int
  var builder: ProgramBuilder
  var constants: ConstantImage
  var inputs: ScratchpadSlots
  var weights: ScratchpadSlots
  var accumulators: Accumulators
  /// Of the layer that was emitted last.
  var lastNote = LayerNote()
  /// The last STORE into each tensor that has memory of its own.
  var lastStore: [Int: ProgramBuilder.Producer] = [:]

  init(
    target: Target, graph: QuantizedGraph, tensors: [DeviceTensor], joined: JoinedTensors,
    constants: ConstantImage, constantRegion: Int, microOpRegion: Int
  ) {
    let c = target.configuration
    self.target = target
    self.graph = graph
    self.tensors = tensors
    self.joined = joined
    self.constantRegion = constantRegion
    builder = ProgramBuilder(target: target, microOpRegion: microOpRegion)
    self.constants = constants
    inputs = ScratchpadSlots(depth: c.depth(.inp))
    weights = ScratchpadSlots(depth: c.depth(.wgt))
    accumulators = Accumulators(depth: c.depth(.acc))
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
    accumulators = Accumulators(depth: configuration.depth(.acc))
    lastStore = [:]
  }

  /// LOADs of a window of channel blocks of a tensor, dense in the slot: `channels × rows × columns`.
  mutating func loadWindow(
    _ value: Int, channels: Range<Int>, rows: InputWindow, columns: InputWindow, base: Int,
    after producers: [ProgramBuilder.Producer?]
  ) -> ProgramBuilder.Producer? {
    let tensor = tensors[value]
    let extents = tensor.packedExtents
    let producers = producers + [lastStore[joined.place(of: value).root]]
    if isOneTransfer(value, rows, columns) {
      let transfer = Transfer(
        memory: .inp, sramBase: base, ySize: channels.count, xSize: rows.extent * columns.extent,
        xStride: extents.height * extents.width)
      return builder.load(
        transfer, from: location(tensor, channels.lowerBound, rows.valid.lowerBound, 0), after: producers)
    }
    var last: ProgramBuilder.Producer?
    for (index, channel) in channels.enumerated() {
      let transfer = Transfer(
        memory: .inp, sramBase: base + index * rows.extent * columns.extent,
        ySize: rows.valid.count, xSize: columns.valid.count, xStride: extents.width,
        yPad0: rows.before, yPad1: rows.after, xPad0: columns.before, xPad1: columns.after)
      last = builder.load(
        transfer,
        from: location(tensor, channel, rows.valid.lowerBound, columns.valid.lowerBound),
        after: producers)
    }
    return last
  }

  /// That one LOAD brings a window of any number of channel blocks: whole rows, without padding.
  func isOneTransfer(_ value: Int, _ rows: InputWindow, _ columns: InputWindow) -> Bool {
    let extents = tensors[value].packedExtents
    return rows.extent == rows.valid.count && columns.extent == columns.valid.count
      && columns.valid.count == extents.width && extents.height * extents.width <= Limits.transferExtentMax
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
    lastStore[joined.place(of: value).root] = last
    return last
  }

  private func location(
    _ tensor: DeviceTensor, _ channel: Int, _ row: Int, _ column: Int
  ) -> ProgramBuilder.Location {
    let extents = tensor.packedExtents
    let element = (channel * extents.height + row) * extents.width + column
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
