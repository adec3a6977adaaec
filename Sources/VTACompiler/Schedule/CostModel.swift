/// What a stretch of a program asks of the accelerator, as far as schedules differ in it.
struct Work: Hashable {
  /// Bytes that cross the memory port.
  var dramBytes = 0
  /// Those of them that nothing is computed beside.
  var exposedBytes = 0
  var gemmSteps = 0
  var aluSteps = 0
  var instructions = 0
}

/// The one place that says which of two schedules is better. A timing model can take its place.
struct CostModel {
  /// Bytes that cross the port in one cycle of a board with 64 bits; GEMM takes one cycle for a step, the ALU two.
  private static let bytesPerCycle = 8
  /// An instruction is fetched, decoded and drained.
  private static let instructionBytes = 64

  /// In bytes' worth of time; traffic counts in full even where computation hides it, since boards share the port, and
  /// half as much again where nothing does.
  func cost(_ work: Work) -> Int {
    work.dramBytes + work.exposedBytes / 2 + Self.instructionBytes * work.instructions
      + Self.bytesPerCycle * (work.gemmSteps + 2 * work.aluSteps)
  }
}
