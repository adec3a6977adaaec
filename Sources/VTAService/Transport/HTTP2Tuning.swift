internal import NIOHPACK
internal import NIOHTTP2

/// What both sides agree on. They are on one machine mostly: few large frames, and windows that a tensor of a few megabytes
/// fits into.
enum HTTP2Tuning {
  static let frameBytes = 1 << 20
  static let windowBytes = 8 << 20
  /// Calls of one connection at a time. Must be announced: a client that isn't told opens more than are taken, and loses
  /// the connection.
  static let streams = 128

  static let daemon: HTTP2Settings = common + [HTTP2Setting(parameter: .maxConcurrentStreams, value: streams)]
  static let client: HTTP2Settings = common + [HTTP2Setting(parameter: .enablePush, value: 0)]

  private static let common: HTTP2Settings = [
    HTTP2Setting(parameter: .initialWindowSize, value: windowBytes),
    HTTP2Setting(parameter: .maxFrameSize, value: frameBytes),
    HTTP2Setting(parameter: .maxHeaderListSize, value: HPACKDecoder.defaultMaxHeaderListSize),
  ]

  /// How much more may come when half of a window is used up; `nil`: enough may.
  static func windowIncrement(_ size: Int) -> Int? {
    size <= windowBytes / 2 ? windowBytes - size : nil
  }
}
