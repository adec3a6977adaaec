internal import VTA

/// The integers that a target computes with, and what quantization makes of them.
struct IntegerFormat: Hashable, Sendable {
  let activationBits: Int
  let weightBits: Int
  /// That sums can be multiplied: weights then take all their bits, and any factor is met.
  let canMultiply: Bool

  init(_ configuration: HardwareConfiguration, canMultiply: Bool = false) {
    activationBits = configuration.inpBits
    weightBits = configuration.wgtBits
    self.canMultiply = canMultiply
  }

  /// −128…127 for 8 bits; scales make the positive end stand for the largest magnitude.
  var activations: ClosedRange<Int> { -(1 << (activationBits - 1))...(1 << (activationBits - 1)) - 1 }
  /// Symmetric: the most negative integer is not used, so that a weight and its negation quantize alike.
  var weights: ClosedRange<Int> { -(1 << (weightBits - 1)) + 1...(1 << (weightBits - 1)) - 1 }

  /// Largest shift of layers with free weights: all profiles agree on it in one instruction, and a larger one would
  /// gain less than the rounding of the output loses.
  static let shiftMax = Limits.portableShiftOperand.upperBound
  /// Largest shift of layers whose weights are given (averages over large windows need it).
  static let uniformShiftMax = 20

  /// From the smallest to the largest activation: what an integer without its zero point can be.
  var span: Int { activations.count - 1 }

  /// Activations that a real range clips to.
  func clip(_ bounds: Bounds, scale: Double, zeroPoint: Int) -> (low: Int, high: Int) {
    (
      integer(Double(bounds.low) / scale + Double(zeroPoint)),
      integer(Double(bounds.high) / scale + Double(zeroPoint))
    )
  }

  /// The nearest weight.
  func weight(_ value: Double) -> Int {
    let limits = weights
    return Int(
      min(max(value.rounded(.toNearestOrEven), Double(limits.lowerBound)), Double(limits.upperBound)))
  }

  /// The nearest activation.
  func integer(_ value: Double) -> Int {
    let limits = activations
    return Int(
      min(max(value.rounded(.toNearestOrEven), Double(limits.lowerBound)), Double(limits.upperBound)))
  }
}
