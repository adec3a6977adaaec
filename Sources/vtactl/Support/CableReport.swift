internal import VTAJTAG
private import VTARuntime

/// What `vtactl jtag scan` says of a cable.
struct CableReport: Encodable {
  struct Device: Encodable {
    let idcode: String?
    let name: String
    let instructionBits: Int?
    /// Known boards with such a device.
    let boards: [String]
    let isHidden: Bool
  }

  /// Where the cable is plugged in.
  let path: String
  let name: String
  let serial: String?
  let usbId: String
  /// From TDO on; `nil` if there was no scan.
  let devices: [Device]?
  let problem: String?
  let note: String?

  init(_ scan: CableScan) {
    let device = scan.cable.device
    path = device.path
    name = scan.cable.description
    serial = scan.cable.texts[.serial]
    usbId = Self.hex(device.vendor) + ":" + Self.hex(device.product)
    devices = scan.chain.map { chain in
      chain.devices.indices.map { Device(chain, $0) }
    }
    problem = scan.problem?.description
    note =
      scan.outcome == .notAsked
      ? "not looked behind, since it may be a serial port; --cable \(device.path) does" : nil
  }

  private static func hex(_ id: UInt16) -> String {
    let digits = String(id, radix: 16)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }

  var text: String {
    var lines = ["\(path): \(name)"]
    for (index, device) in (devices ?? []).enumerated() {
      var parts = [device.name]
      if let idcode = device.idcode { parts.append("IDCODE \(idcode)") }
      parts.append(device.instructionBits.map { "\($0) instruction bits" } ?? "instruction bits unknown")
      if device.isHidden { parts.append("its FPGA is hidden until it is programmed") }
      if !device.boards.isEmpty { parts.append("as on \(device.boards.joined(separator: ", "))") }
      lines.append("  \(index): \(parts.joined(separator: ", "))")
    }
    for line in [problem, note].compactMap(\.self) { lines.append("  \(line)") }
    return lines.joined(separator: "\n")
  }
}

extension CableReport.Device {
  init(_ chain: Chain, _ position: Int) {
    let device = chain.devices[position]
    idcode = device.idcode.map(JTAGError.hex)
    name = device.name
    instructionBits = device.instructionLength
    boards = device.idcode.map { code in Board.all.filter { $0.hasDevice(idcode: code) }.map(\.name) } ?? []
    isHidden = chain.isHidden(position)
  }
}

extension Board {
  /// Whether the board's FPGA has this IDCODE, whatever its version.
  func hasDevice(idcode: UInt32) -> Bool { (self.idcode ^ idcode) & 0x0FFF_FFFF == 0 }
}
