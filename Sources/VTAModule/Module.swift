package import VTA

/// A compiled model: what a `.vtab` file holds, decoded and checked.
///
/// Sizes and offsets are bytes. Everything that names something else (a region, a tensor, a program) does so by its
/// index in the array of that kind; ``ModuleReader`` refuses a file in which an index or a range is out of bounds.
package struct Module: Hashable, Sendable {
  package var name: String
  /// Program and version that wrote it, e.g. `vtactl 0.1.0`.
  package var producer: String
  package var target: Target
  /// What the user passes in and gets out, in the model's order. Shapes are per sample with the batch axis first (1).
  package var inputs: [ModelTensor]
  package var outputs: [ModelTensor]
  /// Memory that the device programs touch. Regions start on ``Limits/regionAlignment``.
  package var regions: [Region]
  /// Tensors in device memory that host steps read and write and that `--dump-tensors` shows.
  package var deviceTensors: [DeviceTensor]
  package var programs: [DeviceProgram]
  /// What a run does, in order.
  package var steps: [Step]
  /// The layers of the model, for reports, `inspect` and `disassemble`.
  package var layers: [Layer]
  package var preprocessing: Preprocessing?
  /// Class names of the (single) output's last axis; empty if there are none.
  package var labels: [String]

  package init(
    name: String, producer: String, target: Target, inputs: [ModelTensor], outputs: [ModelTensor],
    regions: [Region], deviceTensors: [DeviceTensor], programs: [DeviceProgram], steps: [Step],
    layers: [Layer], preprocessing: Preprocessing? = nil, labels: [String] = []
  ) {
    self.name = name
    self.producer = producer
    self.target = target
    self.inputs = inputs
    self.outputs = outputs
    self.regions = regions
    self.deviceTensors = deviceTensors
    self.programs = programs
    self.steps = steps
    self.layers = layers
    self.preprocessing = preprocessing
    self.labels = labels
  }
}

/// A tensor of the model's interface.
package struct ModelTensor: Hashable, Sendable {
  package var name: String
  package var dataType: DataType
  /// With the batch axis first; its extent is 1.
  package var shape: [Int]

  package init(name: String, dataType: DataType, shape: [Int]) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
  }
}

/// A named range of device memory. Relocations refer to it; the loader chooses its address.
package struct Region: Hashable, Sendable {
  package enum Role: Hashable, Sendable {
    /// Contents come from the file; programs may only read it.
    case constant([UInt8])
    /// Micro-ops: as a constant, read only by LOAD UOP.
    case microOps([UInt8])
    /// Read and written by programs and host steps; starts as zeros at load.
    case workspace
  }
  package var name: String
  package var role: Role
  package var byteCount: UInt64

  package init(name: String, role: Role, byteCount: UInt64) {
    self.name = name
    self.role = role
    self.byteCount = byteCount
  }
}

/// An activation in device memory, in VTA's packed layout `NCHW{BATCH}n{BLOCK}c` with N = BATCH
/// (reference/vta-hardware.md, section 6): element `(c / BLOCK · H + h) · W + w`, lane `n · BLOCK + c mod BLOCK`.
package struct DeviceTensor: Hashable, Sendable {
  package var name: String
  package var region: Int
  /// From the start of the region, a multiple of the INP element size.
  package var byteOffset: UInt64
  package var channels: Int
  package var height: Int
  package var width: Int
  /// Real value of one step.
  package var scale: Float
  /// The integer that stands for 0; within INP's signed range.
  package var zeroPoint: Int
  /// How the host spreads it out; `nil` if it lies as it is.
  package var unfolding: Unfolding?

  package init(
    name: String, region: Int, byteOffset: UInt64, channels: Int, height: Int, width: Int,
    scale: Float, zeroPoint: Int = 0, unfolding: Unfolding? = nil
  ) {
    self.name = name
    self.region = region
    self.byteOffset = byteOffset
    self.channels = channels
    self.height = height
    self.width = width
    self.scale = scale
    self.zeroPoint = zeroPoint
    self.unfolding = unfolding
  }

  /// Channels, height and width as they lie in memory.
  package var packedExtents: (channels: Int, height: Int, width: Int) {
    guard let unfolding else { return (channels, height, width) }
    return (channels * unfolding.rows * unfolding.columns, unfolding.height, unfolding.width)
  }

  /// Elements (tiles) of the packed tensor.
  package func tileCount(_ configuration: HardwareConfiguration) -> Int {
    let extents = packedExtents
    return (extents.channels + configuration.block - 1) / configuration.block * extents.height * extents.width
  }

  package func byteCount(_ configuration: HardwareConfiguration) -> UInt64 {
    UInt64(tileCount(configuration) * configuration.elementBytes(.inp))
  }
}

/// A tensor of few channels, spread out so that a kernel's neighbouring positions share the lanes of one element: channel
/// `(i · columns + j) · channels + c` of element (y, x) is channel c at row `y · rowStep + i − top` and column
/// `x · columnStep + j − left`, the zero point outside the tensor. Neighbouring elements may overlap.
package struct Unfolding: Hashable, Sendable {
  /// Positions in one element.
  package var rows: Int
  package var columns: Int
  package var rowStep: Int
  package var columnStep: Int
  /// Of the spread tensor.
  package var height: Int
  package var width: Int
  package var top: Int
  package var left: Int

  package init(
    rows: Int, columns: Int, rowStep: Int, columnStep: Int, height: Int, width: Int, top: Int, left: Int
  ) {
    self.rows = rows
    self.columns = columns
    self.rowStep = rowStep
    self.columnStep = columnStep
    self.height = height
    self.width = width
    self.top = top
    self.left = left
  }

  /// That every position of a tensor lies in some element, so that it can be read back.
  package func covers(height: Int, width: Int) -> Bool {
    rowStep <= rows && columnStep <= columns && self.height * rowStep - top >= height
      && self.width * columnStep - left >= width
  }
}

/// An instruction stream that ends with FINISH, and where addresses go into it.
package struct DeviceProgram: Hashable, Sendable {
  /// 16 bytes per instruction, encoded for the module's target with `dram_base` zero where a relocation applies.
  package var instructions: [UInt8]
  /// Sorted by instruction; at most one each, only on LOAD and STORE.
  package var relocations: [Relocation]

  package init(instructions: [UInt8], relocations: [Relocation]) {
    self.instructions = instructions
    self.relocations = relocations
  }
}

/// `dram_base` of an instruction := (address of the region + byte offset) / element size of its memory type.
package struct Relocation: Hashable, Sendable {
  package var instruction: Int
  package var region: Int
  package var byteOffset: UInt64

  package init(instruction: Int, region: Int, byteOffset: UInt64) {
    self.instruction = instruction
    self.region = region
    self.byteOffset = byteOffset
  }
}

/// A tensor on the host during a run: the model's inputs and outputs and what host steps pass on, by name.
package typealias HostTensorName = String

/// One action of a run.
package enum Step: Hashable, Sendable {
  /// Round `input / scale` half to even, add the zero point, clip to the signed range of INP, pack into the device tensor.
  /// Arithmetic in float32.
  case quantize(input: HostTensorName, output: Int)
  /// Run a program on the accelerator.
  case program(Int)
  /// Unpack, take off the zero point, multiply by the scale in float32.
  case dequantize(input: Int, output: HostTensorName, shape: [Int])
  /// Numerically safe softmax over `axis` (≥ 0), float32.
  case softmax(input: HostTensorName, output: HostTensorName, axis: Int)
  /// A function of each element, float32.
  case activate(input: HostTensorName, output: HostTensorName, function: HostFunction)
  /// Axis i of the output is axis `permutation[i]` of the input; the batch axis stays first.
  case transpose(input: HostTensorName, output: HostTensorName, permutation: [Int])
  /// One behind the other along `axis` (≥ 1).
  case concatenate(inputs: [HostTensorName], output: HostTensorName, axis: Int)
  /// Same elements, another shape (with the batch axis first).
  case reshape(input: HostTensorName, output: HostTensorName, shape: [Int])
}

/// One layer of the model and what became of it.
package struct Layer: Hashable, Sendable {
  package enum Place: String, Hashable, Sendable, CaseIterable {
    case accelerator, host
  }
  package var name: String
  /// ONNX operators that it stands for, e.g. `Conv+Relu`.
  package var op: String
  package var place: Place
  /// Why it is on the host, or how it was mapped.
  package var why: String
  /// Instructions of `program` that belong to it; `nil` on the host.
  package var program: Int?
  package var instructions: Range<Int>

  package init(
    name: String, op: String, place: Place, why: String, program: Int?, instructions: Range<Int>
  ) {
    self.name = name
    self.op = op
    self.place = place
    self.why = why
    self.program = program
    self.instructions = instructions
  }
}

/// How an image becomes the model's input: decode, resize, scale each channel by `(value / 255 - mean) / deviation`
/// unless `range` says otherwise. Read from `vtactl compile --preprocess FILE.json`.
package struct Preprocessing: Hashable, Sendable {
  package enum Channels: String, Hashable, Sendable, CaseIterable {
    case gray, rgb, bgr
  }
  package enum Layout: String, Hashable, Sendable, CaseIterable {
    case nchw, nhwc
  }
  package var channels: Channels
  package var layout: Layout
  /// Real value of pixel value 255; pixel 0 is 0.
  package var range: Float
  /// Per channel, applied after `range`: `(x - mean) / deviation`.
  package var mean: [Float]
  package var deviation: [Float]

  package init(
    channels: Channels, layout: Layout, range: Float, mean: [Float], deviation: [Float]
  ) {
    self.channels = channels
    self.layout = layout
    self.range = range
    self.mean = mean
    self.deviation = deviation
  }
}
