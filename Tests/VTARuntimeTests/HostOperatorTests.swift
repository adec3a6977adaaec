import Foundation
import Testing

@testable import VTARuntime

@Suite struct HostOperatorTests {
  @Test func quantizeRoundsHalfToEvenAndClips() {
    let values: [Float] = [0.25, 0.75, 1.25, -0.25, -0.75, 100, -100, .infinity, -.infinity, .nan]
    let quantized = HostOperators.quantize(values, scale: 0.5, low: -128, high: 127)
    #expect(quantized == [0, 2, 2, 0, -2, 127, -128, 127, -128, 0])
    #expect(HostOperators.quantize([9, -9], scale: 1, low: -8, high: 7) == [7, -8])
  }

  /// Against double precision, along each axis of a 2 × 3 × 4 tensor, with values that overflow a naive exponential.
  @Test(arguments: [(2, 12), (3, 4), (4, 1)]) func softmax(extent: Int, stride: Int) {
    let values: [Float] = (0..<24).map { Float($0 * 37 % 50) * 4 - 20 }
    let result = HostOperators.softmax(values, extent: extent, stride: stride)
    for index in values.indices {
      let first = index / (extent * stride) * extent * stride + index % stride
      let lane = (0..<extent).map { Double(values[first + $0 * stride]) }
      let top = lane.max() ?? 0
      let sum: Double = lane.reduce(0) { $0 + exp($1 - top) }
      let exact: Double = exp(Double(values[index]) - top) / sum
      #expect(abs(Double(result[index]) - exact) < 1e-6)
    }
  }
}
