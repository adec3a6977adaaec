internal import NIOCore

/// How long a client waits for its answer: at most eight digits and a unit in the header `grpc-timeout`.
struct GRPCTimeout {
  static let headerName = "grpc-timeout"

  /// At most a year: more may be said than the nanoseconds of a clock can hold.
  let amount: TimeAmount

  init(_ text: String) throws(ServiceError) {
    let digits = text.utf8.dropLast()
    guard (1...8).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
      let value = Int64(text.dropLast()), let unit = text.last,
      let nanoseconds = Self.nanosecondsPerUnit[unit]
    else {
      throw ServiceError(
        .invalidArgument,
        "the header \(Self.headerName) is '\(text.prefix(20))'; it takes one to eight digits and one of H, M, S, m, u, n"
      )
    }
    let (product, overflows) = value.multipliedReportingOverflow(by: nanoseconds)
    amount = .nanoseconds(overflows ? Self.longest : min(product, Self.longest))
  }

  private static let nanosecondsPerUnit: [Character: Int64] = [
    "H": 3_600_000_000_000, "M": 60_000_000_000, "S": 1_000_000_000, "m": 1_000_000, "u": 1000, "n": 1,
  ]
  private static let longest: Int64 = 365 * 24 * 3_600_000_000_000
}
