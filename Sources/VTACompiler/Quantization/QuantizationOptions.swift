/// What the user may choose about integers; the defaults are what measured best (Documentation/Compiling.md).
package struct QuantizationOptions: Hashable, Sendable {
  /// How the range of an activation follows from the calibration samples.
  package enum CalibrationMethod: String, Hashable, Sendable, CaseIterable {
    /// All that was seen.
    case minMax = "min-max"
    /// All but one in ten thousand.
    case percentile
    /// The range whose integers tell most about the distribution.
    case entropy
    /// The range of least squared error.
    case mse
  }
  package enum Scales: String, Hashable, Sendable, CaseIterable {
    case free
    /// Rounded up, for comparison.
    case powersOfTwo = "powers-of-two"
  }
  package enum Requantization: String, Hashable, Sendable, CaseIterable {
    /// A multiplication where the accelerator has one.
    case automatic = "auto"
    case shifts
  }
  package var calibration = CalibrationMethod.mse
  package var scales = Scales.free
  package var requantization = Requantization.automatic
  /// Ranges of channels are evened out between layers.
  package var equalizes = false
  /// Biases make up for the mean error of rounded weights.
  package var correctsBias = true
  /// Weights are rounded so that their errors cancel on the calibration samples.
  package var feedsErrorsBack = true

  package init() {}
}
