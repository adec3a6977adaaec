/// What calibration saw of one value.
struct ActivationStatistics: Sendable {
  private(set) var count = 0
  private(set) var sumOfSquares = 0.0
  /// 0 counts as seen.
  private(set) var low: Float = 0
  private(set) var high: Float = 0

  /// Sums of the elements of each channel.
  private var channelSums: [Double] = []

  /// Squares of float32 cannot overflow a double, so only infinity and NaN show here, and they stay.
  var isFinite: Bool { sumOfSquares.isFinite }
  var meanSquare: Double { count == 0 ? 0 : sumOfSquares / Double(count) }

  /// The mean of each channel; empty if nothing was seen.
  var channelMeans: [Double] {
    let perChannel = Double(max(1, count)) / Double(max(1, channelSums.count))
    return channelSums.map { $0 / perChannel }
  }

  /// Adds a sample's elements, channel by channel.
  mutating func add(_ elements: [Float], channels: Int) {
    if channelSums.isEmpty { channelSums = [Double](repeating: 0, count: channels) }
    let perChannel = elements.count / channels
    for channel in 0..<channels {
      var sum = 0.0
      for element in elements[channel * perChannel..<(channel + 1) * perChannel] { sum += Double(element) }
      channelSums[channel] += sum
    }
    for element in elements {
      low = min(low, element)
      high = max(high, element)
      sumOfSquares += Double(element) * Double(element)
    }
    count += elements.count
  }

  /// Takes another range than what was seen.
  mutating func clip(low: Float, high: Float) {
    self.low = low
    self.high = high
  }

  mutating func merge(_ other: ActivationStatistics) {
    if channelSums.isEmpty {
      channelSums = other.channelSums
    } else {
      for channel in other.channelSums.indices { channelSums[channel] += other.channelSums[channel] }
    }
    count += other.count
    sumOfSquares += other.sumOfSquares
    low = min(low, other.low)
    high = max(high, other.high)
  }
}
