/// The cables that are known by their USB ids.
package struct KnownCable: Equatable, Sendable {
  package enum Kind: Equatable, Sendable {
    /// JTAG on port A of one of FTDI's chips.
    case mpsse
    case blaster1
    case blaster2
    /// A USB-Blaster II before it has its firmware.
    case blaster2Empty
    /// Known, but of another protocol.
    case unsupported
  }

  package let name: String
  package let kind: Kind
  package let vendor: UInt16
  package let product: UInt16
  /// The ids stand for any use of the chip: a serial port, perhaps. Only its texts tell.
  package let isGeneric: Bool

  private init(_ name: String, _ kind: Kind, _ vendor: UInt16, _ product: UInt16, isGeneric: Bool = false) {
    self.name = name
    self.kind = kind
    self.vendor = vendor
    self.product = product
    self.isGeneric = isGeneric
  }

  static let blaster2 = KnownCable("USB-Blaster II", .blaster2, 0x09FB, 0x6010)

  package static let all = [
    KnownCable("FT2232", .mpsse, 0x0403, 0x6010, isGeneric: true),
    KnownCable("FT4232H", .mpsse, 0x0403, 0x6011, isGeneric: true),
    KnownCable("FT232H", .mpsse, 0x0403, 0x6014, isGeneric: true),
    KnownCable("USB-Blaster III", .mpsse, 0x09FB, 0x6022),
    KnownCable("USB-Blaster", .blaster1, 0x09FB, 0x6001),
    KnownCable("USB-Blaster", .blaster1, 0x09FB, 0x6002),
    KnownCable("USB-Blaster", .blaster1, 0x09FB, 0x6003),
    blaster2,
    KnownCable("USB-Blaster II without firmware", .blaster2Empty, 0x09FB, 0x6810),
    KnownCable("Platform Cable USB", .unsupported, 0x03FD, 0x0008),
    KnownCable("Platform Cable USB", .unsupported, 0x03FD, 0x000D),
    KnownCable("Platform Cable USB", .unsupported, 0x03FD, 0x0013),
  ]

  package static func matching(_ device: USBDevice) -> KnownCable? { all.first { $0.matches(device) } }

  package func matches(_ device: USBDevice) -> Bool { device.vendor == vendor && device.product == product }

  /// Words of the texts of cables that are made for JTAG: Digilent's modules, the boards of Xilinx, Avnet's pod.
  private static let makers = ["digilent", "xilinx", "avnet", "jtag"]

  /// Whether a device with such texts is a JTAG cable, and not just something with the same chip.
  package func isJTAG(texts: [String]) -> Bool {
    guard isGeneric else { return kind != .unsupported }
    let words = texts.joined(separator: " ").lowercased()
    return Self.makers.contains { words.contains($0) }
  }

  /// The pins that the maker's circuit needs.
  func pins(texts: [String]) -> FTDIPins {
    if vendor == 0x09FB { return .blaster3 }
    let words = texts.joined(separator: " ").lowercased()
    if words.contains("hs3") { return .digilentHS3 }
    return words.contains("digilent") ? .digilent : .plain
  }
}
