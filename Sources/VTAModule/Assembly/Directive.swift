internal import VTA

/// Lines that begin with a dot: the only list of them.
enum Directive: String, CaseIterable {
  case module = ".module"
  case producer = ".producer"
  case target = ".target"
  case input = ".input"
  case output = ".output"
  case region = ".region"
  case kernel = ".kernel"
  case hex = ".hex"
  case int8 = ".int8"
  case int32 = ".int32"
  case zeros = ".zeros"
  case affine = ".affine"
  case random = ".random"
  case omitted = ".omitted"
  case tensor = ".tensor"
  case program = ".program"
  case step = ".step"
  case layer = ".layer"
  case preprocess = ".preprocess"
  case label = ".label"

  /// The line as a whole.
  var usage: String {
    let arguments =
      switch self {
      case .module, .kernel: "NAME"
      case .producer, .label: "TEXT"
      case .target: "NAME, or .target NAME CONFIGURATION PROFILE"
      case .input, .output: "NAME 1xEXTENTx…"
      case .region:
        "NAME constant|micro-ops [BYTES], NAME workspace BYTES, or NAME input|output CxHxW scale=S"
      case .hex: "DIGITS…"
      case .int8, .int32: "NUMBER…"
      case .zeros: "BYTES"
      case .affine: "int8|int32 COUNT START STEP"
      case .random: "int8|int32 COUNT SEED LOW HIGH"
      case .omitted, .program: ""
      case .tensor: "NAME REGION[+ELEMENTS] CxHxW scale=S [zero=Z] [unfold=RxC/SxS/HxW/TxL]"
      case .step:
        "quantize INPUT TENSOR, run PROGRAM, dequantize TENSOR OUTPUT SHAPE, softmax INPUT OUTPUT axis=N, "
          + "reshape INPUT OUTPUT SHAPE, activate FUNCTION INPUT OUTPUT alpha=A beta=B, "
          + "transpose INPUT OUTPUT axes=0,…, or concatenate OUTPUT INPUT… axis=N"
      case .layer: "NAME OPERATORS accelerator|host WHY [program=N] [instructions=FIRST..<END]"
      case .preprocess: "gray|rgb|bgr nchw|nhwc range=R mean=M,… deviation=D,…"
      }
    return arguments.isEmpty ? rawValue : "\(rawValue) \(arguments)"
  }

  /// Belongs to the region before it, and does not end its contents.
  var continuesRegion: Bool {
    switch self {
    case .kernel, .hex, .int8, .int32, .zeros, .affine, .random, .omitted: true
    case .module, .producer, .target, .input, .output, .region, .tensor, .program, .step, .layer, .preprocess,
      .label:
      false
    }
  }

  func take(
    _ arguments: inout DirectiveArguments, _ assembler: inout Assembler
  ) throws(AssemblyError) {
    switch self {
    case .module: try assembler.takeModule(&arguments)
    case .producer: try assembler.takeProducer(&arguments)
    case .target: try assembler.takeTarget(&arguments)
    case .input: try assembler.takeInput(&arguments)
    case .output: try assembler.takeOutput(&arguments)
    case .region: try assembler.takeRegion(&arguments)
    case .kernel: try assembler.takeKernel(&arguments)
    case .hex: try assembler.takeHex(&arguments)
    case .int8: try assembler.takeNumbers(Int8.self, &arguments)
    case .int32: try assembler.takeNumbers(Int32.self, &arguments)
    case .zeros: try assembler.takeZeros(&arguments)
    case .affine: try assembler.takeAffine(&arguments)
    case .random: try assembler.takeRandom(&arguments)
    case .omitted: try assembler.takeOmitted(&arguments)
    case .tensor: try assembler.takeTensor(&arguments)
    case .program: try assembler.takeProgram(&arguments)
    case .step: try assembler.takeStep(&arguments)
    case .layer: try assembler.takeLayer(&arguments)
    case .preprocess: try assembler.takePreprocessing(&arguments)
    case .label: try assembler.takeLabel(&arguments)
    }
  }
}
