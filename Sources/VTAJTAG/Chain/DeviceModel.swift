/// A kind of device that is known by its IDCODE.
package struct DeviceModel: Equatable, Sendable {
  package enum Family: String, Equatable, Sendable {
    case zynq7000
    case zynqMP
    case cycloneV
    /// A processor's debug port (Arm DAP): bypassed, never addressed.
    case debugPort
  }

  package let name: String
  package let family: Family
  /// Without the version in the upper four bits.
  package let idcode: UInt32
  package let instructionLength: Int
  /// What part names of its bitstreams begin with, without `xc` and dashes.
  package let parts: [String]
  /// Where the check after configuration finds CONF_DONE.
  package let status: StatusBit?

  /// A bit of a scan with the instruction CHECK_STATUS.
  package struct StatusBit: Equatable, Sendable {
    package let length: Int
    package let position: Int
  }

  private init(
    _ name: String, _ family: Family, _ idcode: UInt32, instructionLength: Int, parts: [String] = [],
    status: StatusBit? = nil
  ) {
    self.name = name
    self.family = family
    self.idcode = idcode
    self.instructionLength = instructionLength
    self.parts = parts
    self.status = status
  }

  private static func zynq(_ name: String, _ idcode: UInt32) -> DeviceModel {
    DeviceModel("xc\(name)", .zynq7000, idcode, instructionLength: 6, parts: [name])
  }

  /// The twelve bits are six of the processor's TAP (upper) and six of the FPGA's (lower).
  private static func zynqMP(_ name: String, _ idcode: UInt32, _ kinds: [String]) -> DeviceModel {
    DeviceModel(
      "xc\(name)\(kinds.joined(separator: "/"))", .zynqMP, idcode, instructionLength: 12,
      parts: kinds.map { name + $0 })
  }

  private static func cyclone(_ name: String, _ idcode: UInt32, status: StatusBit? = nil) -> DeviceModel {
    DeviceModel(name, .cycloneV, idcode, instructionLength: 10, status: status)
  }

  /// IDCODEs and lengths as openFPGALoader and OpenOCD list them; the place of CONF_DONE from OpenOCD.
  package static let all = [
    zynq("7z007s", 0x0372_3093), zynq("7z010", 0x0372_2093), zynq("7z012s", 0x0373_C093),
    zynq("7z014s", 0x0372_8093), zynq("7z015", 0x0373_B093), zynq("7z020", 0x0372_7093),
    zynq("7z030", 0x0372_C093), zynq("7z035", 0x0373_2093), zynq("7z045", 0x0373_1093),
    zynq("7z100", 0x0373_6093),
    zynqMP("zu2", 0x0471_1093, ["cg", "eg"]),
    zynqMP("zu3", 0x0471_0093, ["cg", "eg"]),
    zynqMP("zu4", 0x0472_1093, ["cg", "eg", "ev"]),
    zynqMP("zu5", 0x0472_0093, ["cg", "eg", "ev"]),
    zynqMP("zu6", 0x0473_9093, ["cg", "eg"]),
    zynqMP("zu7", 0x0473_0093, ["cg", "eg", "ev"]),
    zynqMP("zu9", 0x0473_8093, ["cg", "eg"]),
    zynqMP("zu11", 0x0474_0093, ["eg"]),
    zynqMP("zu15", 0x0475_0093, ["eg"]),
    zynqMP("zu17", 0x0475_9093, ["eg"]),
    zynqMP("zu19", 0x0475_8093, ["eg"]),
    cyclone("5CSE/5CSX A2/C2", 0x02D1_10DD), cyclone("5CSE/5CSX A4/C4", 0x02D0_10DD),
    cyclone("5CSE/5CSX A5/C5", 0x02D1_20DD),
    cyclone("5CSE/5CSX A6/C6", 0x02D0_20DD, status: StatusBit(length: 1485, position: 19)),
    DeviceModel("Arm DAP", .debugPort, 0x0BA0_0477, instructionLength: 4),
  ]

  private static let versionMask: UInt32 = 0x0FFF_FFFF

  package static func with(idcode: UInt32) -> DeviceModel? {
    all.first { $0.idcode == idcode & versionMask }
  }

  /// Whether a bitstream says that it is for this device.
  ///
  /// - Parameter part: `7z020clg484` or `xczu3eg-sbva484-1-e`, as tools of different years write it.
  package func accepts(part: String) -> Bool {
    var name = part.lowercased().filter { $0 != "-" }[...]
    if name.hasPrefix("xc") { name = name.dropFirst(2) }
    return parts.contains { name.hasPrefix($0) }
  }
}
