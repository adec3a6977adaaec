/// What calibration saw of one value.
struct ActivationStatistics: Sendable {
  private(set) var count = 0
  private(set) var sumOfSquares = 0.0
  /// 0 counts as seen.
  private(set) var low: Float = 0
  private(set) var high: Float = 0

  /// Sums of the elements of each channel.
  private var channelSums: [Double] = []
  private var channelSquares: [Double] = []
  /// Smallest and largest element of each channel.
  private var channelLows: [Float] = []
  private var channelHighs: [Float] = []

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
    if channelSums.isEmpty { reserve(channels) }
    let perChannel = elements.count / channels
    for channel in 0..<channels {
      var (sum, squares, least, most) = (0.0, 0.0, Float(0), Float(0))
      for element in elements[channel * perChannel..<(channel + 1) * perChannel] {
        sum += Double(element)
        squares += Double(element) * Double(element)
        least = min(least, element)
        most = max(most, element)
      }
      channelSums[channel] += sum
      channelSquares[channel] += squares
      channelLows[channel] = min(channelLows[channel], least)
      channelHighs[channel] = max(channelHighs[channel], most)
      sumOfSquares += squares
    }
    low = min(low, channelLows.min() ?? 0)
    high = max(high, channelHighs.max() ?? 0)
    count += elements.count
  }

  private mutating func reserve(_ channels: Int) {
    channelSums = [Double](repeating: 0, count: channels)
    channelSquares = channelSums
    channelLows = [Float](repeating: 0, count: channels)
    channelHighs = channelLows
  }

  mutating func merge(_ other: ActivationStatistics) {
    if channelSums.isEmpty { reserve(other.channelSums.count) }
    for channel in other.channelSums.indices {
      channelSums[channel] += other.channelSums[channel]
      channelSquares[channel] += other.channelSquares[channel]
      channelLows[channel] = min(channelLows[channel], other.channelLows[channel])
      channelHighs[channel] = max(channelHighs[channel], other.channelHighs[channel])
    }
    count += other.count
    sumOfSquares += other.sumOfSquares
    low = min(low, other.low)
    high = max(high, other.high)
  }

  // MARK: Channels

  /// By what to divide each channel, so that their ranges differ half as much, in decades; `nil` if there is nothing to
  /// even out. Channels that are 0 stay.
  var equalizingFactors: [Float]? {
    let ranges = zip(channelLows, channelHighs).map { max(-$0, $1) }
    guard let most = ranges.max(), most > 0, ranges.contains(where: { $0 != most }) else { return nil }
    return ranges.map { $0 > 0 ? max(0.05, ($0 / most).squareRoot()) : 1 }
  }

  mutating func divideChannels(by factors: [Float]) {
    sumOfSquares = 0
    for channel in factors.indices {
      channelSums[channel] /= Double(factors[channel])
      channelSquares[channel] /= Double(factors[channel]) * Double(factors[channel])
      channelLows[channel] /= factors[channel]
      channelHighs[channel] /= factors[channel]
      sumOfSquares += channelSquares[channel]
    }
    low = channelLows.min() ?? 0
    high = channelHighs.max() ?? 0
  }

  /// Takes another range than what was seen.
  mutating func clip(low: Float, high: Float) {
    self.low = low
    self.high = high
  }
}
