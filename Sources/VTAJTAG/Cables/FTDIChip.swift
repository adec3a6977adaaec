/// A chip of FTDI that has a serial engine, told by its release number (`bcdDevice`).
package struct FTDIChip: Equatable, Sendable {
  package let name: String
  package let release: UInt16
  package let ports: Int
  /// 60 MHz base clock, clocks without data; otherwise 12 MHz.
  package let isHighSpeed: Bool
  /// Whether port A has a second byte of pins.
  package let hasHighPins: Bool
  /// Of one port, towards the host.
  package let readBufferBytes: Int

  static let all = [
    FTDIChip(
      name: "FT2232C/D", release: 0x0500, ports: 2, isHighSpeed: false, hasHighPins: true,
      readBufferBytes: 384),
    FTDIChip(
      name: "FT2232H", release: 0x0700, ports: 2, isHighSpeed: true, hasHighPins: true, readBufferBytes: 4096),
    FTDIChip(
      name: "FT4232H", release: 0x0800, ports: 4, isHighSpeed: true, hasHighPins: false, readBufferBytes: 2048
    ),
    FTDIChip(
      name: "FT232H", release: 0x0900, ports: 1, isHighSpeed: true, hasHighPins: true, readBufferBytes: 1024),
  ]

  package static func with(release: UInt16) -> FTDIChip? { all.first { $0.release == release } }

  private var baseHertz: Int { isHighSpeed ? 60_000_000 : 12_000_000 }

  func hertz(divisor: Int) -> Int { baseHertz / 2 / (divisor + 1) }

  /// The divisor for the fastest rate not above `hertz`.
  func divisor(hertz: Int) -> Int {
    min(max(0, (baseHertz / 2 + max(1, hertz) - 1) / max(1, hertz) - 1), 0xFFFF)
  }
}

/// Levels and directions (1: output) of a port's pins while it is a JTAG cable.
package struct FTDIPins: Equatable, Sendable {
  package let low: UInt8
  package let lowOutputs: UInt8
  package let high: UInt8
  package let highOutputs: UInt8

  /// TCK, TDI and TMS driven, TMS high; nothing else.
  package static let plain = FTDIPins(low: 0x08, lowOutputs: 0x0B, high: 0, highOutputs: 0)
  /// Digilent's HS1, HS2, SMT2 and SMT2-NC enable their buffers with pins of both bytes.
  package static let digilent = FTDIPins(low: 0xE8, lowOutputs: 0xEB, high: 0x00, highOutputs: 0x60)
  package static let digilentHS3 = FTDIPins(low: 0x88, lowOutputs: 0x8B, high: 0x20, highOutputs: 0x30)
  /// Altera's USB-Blaster III.
  package static let blaster3 = FTDIPins(low: 0x08, lowOutputs: 0x3B, high: 0x58, highOutputs: 0xB0)
}
