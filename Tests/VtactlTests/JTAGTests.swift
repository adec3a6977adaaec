import Testing
import VTACableModels
import VTAJTAG
import VTARuntime

@testable import vtactl

/// Which device a bitstream goes to, and what the scan says, with several cables plugged in.
@Suite struct JTAGTests {
  private static func ftdi(_ wires: JTAGWires, _ maker: String, port: UInt8) -> FakeFTDI {
    FakeFTDI(.ft2232h, wires: wires, texts: [.manufacturer: maker, .serial: "S\(port)"], ports: [port])
  }

  private static func scans(_ devices: [any FakeDevice], cable: String? = nil) throws -> [CableScan] {
    try CableScan.run(named: cable, options: CableOptions(), on: FakeBus(devices))
  }

  /// A header as Vivado writes it, and data that names a device.
  private static func bit(part: String, idcode: UInt32) throws -> Bitstream {
    var bytes: [UInt8] = [0, 9, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0, 0, 1]
    for (key, text) in [("a", "vta"), ("b", part), ("c", "2020/06/30"), ("d", "18:11:16")] {
      bytes += Array(key.utf8) + [0, UInt8(text.utf8.count + 1)] + Array(text.utf8) + [0]
    }
    var data = [UInt8](repeating: 0xFF, count: 32)
    for word: UInt32 in [0xBB, 0x1122_0044, .max, .max, 0xAA99_5566, 0x2000_0000, 0x3001_8001, idcode] {
      for shift in [24, 16, 8, 0] { data.append(UInt8(truncatingIfNeeded: word >> UInt32(shift))) }
    }
    return try Bitstream(bytes + Array("e".utf8) + [0, 0, 0, UInt8(data.count)] + data)
  }

  private let pynq = JTAGTests.ftdi(BoardModel.zynq7000().0, "Digilent", port: 1)
  private let ultra96 = JTAGTests.ftdi(BoardModel.zynqMP(isHidden: true).0, "Avnet", port: 2)
  private let serial = JTAGTests.ftdi(BoardModel.zynq7000().0, "FTDI", port: 3)
  private let de10 = FakeBlaster2(wires: BoardModel.cycloneV(expectedBytes: 1, hertz: 1).0)

  private func choose(_ bitstream: Bitstream, board: Board? = nil, _ scans: [CableScan]) throws -> String {
    let target = try JTAGTarget.choose(for: bitstream, board: board, among: scans)
    return "\(target.scan.cable.device.path) \(target.position) \(target.model.name)"
  }

  @Test func fileFindsItsDevice() throws {
    let scans = try Self.scans([pynq, ultra96, serial, de10])
    let zynq = try Self.bit(part: "7z020clg484", idcode: 0x0372_7093)
    #expect(try choose(zynq, scans) == "1-1 0 xc7z020")
    let zynqMP = try Self.bit(part: "xczu3eg-sbva484-1-e", idcode: 0x0471_0093)
    #expect(try choose(zynqMP, scans) == "1-2 1 xczu3cg/eg")
    let rbf = try Bitstream([UInt8](repeating: 0xFF, count: 32) + [0x6A, 0x6A, 0x6A, 0x6A, 1, 2])
    #expect(try choose(rbf, board: Board.named("de10-nano"), scans) == "1-3.1 1 5CSE/5CSX A6/C6")
    let missing = #expect(throws: Failure.self) {
      try choose(try Self.bit(part: "xczu9eg-ffvb1156-2-e", idcode: 0x0473_8093), scans)
    }
    #expect(
      missing?.description.hasPrefix(
        "jtag: chain: there is no xczu9eg-ffvb1156-2-e in it, but xc7z020, Arm DAP;")
        == true)
  }

  @Test(
    "With two boards that fit, the cable must be named; a chip that may be a serial port is used only then")
  func namedCable() throws {
    let zynq = try Self.bit(part: "7z020clg484", idcode: 0x0372_7093)
    let twin = Self.ftdi(BoardModel.zynq7000().0, "Digilent", port: 4)
    let failure = #expect(throws: Failure.self) { try choose(zynq, try Self.scans([pynq, twin])) }
    #expect(failure?.description == "jtag: the bitstream fits boards behind 1-1, 1-4; name one with --cable")
    #expect(try choose(zynq, try Self.scans([pynq, twin], cable: "S4")) == "1-4 0 xc7z020")
    #expect(throws: Failure.self) { try choose(zynq, try Self.scans([serial])) }
    #expect(!serial.isEngineOn)
    #expect(try choose(zynq, try Self.scans([serial], cable: "1-3")) == "1-3 0 xc7z020")
  }

  @Test func reports() throws {
    let reports = try Self.scans([pynq, ultra96, serial]).map(CableReport.init)
    #expect(
      reports.map(\.text) == [
        """
        1-1: Digilent S1 (FT2232)
          0: xc7z020, IDCODE 0x23727093, 6 instruction bits, as on pynq-z1, pynq-z2
          1: Arm DAP, IDCODE 0x4BA00477, 4 instruction bits
        """,
        """
        1-2: Avnet S2 (FT2232)
          0: a device without IDCODE, 4 instruction bits
          1: xczu3cg/eg, IDCODE 0x14710093, 12 instruction bits, its FPGA is hidden until it is programmed, as on ultra96-v1, ultra96-v2
        """,
        """
        1-3: FTDI S3 (FT2232)
          not looked behind, since it may be a serial port; --cable 1-3 does
        """,
      ])
  }

  @Test("The words of a .bin file go out in the order of a .bit file")
  func swapped() throws {
    let bit = try Self.bit(part: "7z020clg484", idcode: 0x0372_7093)
    let bin = try Bitstream(bit.firmware)
    #expect(bin.format == .swappedWords)
    #expect(Array(ConfigurationImage(bin).payload) == Array(bit.bytes[bit.payload]))
  }

  @Test func everyBoardHasAKnownDevice() {
    for board in Board.all {
      let model = DeviceModel.with(idcode: board.idcode)
      #expect(model != nil, "\(board.name)")
      if model?.family != .cycloneV { #expect(model?.accepts(part: board.part) == true, "\(board.name)") }
    }
  }
}
