import Testing
import VTA
import VTACableModels

@testable import VTAJTAG

@Suite struct FirmwareTests {
  private static func hex(_ pieces: [IntelHex.Piece]) -> String {
    func digits(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }
    let lines = pieces.map { piece -> String in
      let bytes =
        [UInt8(piece.bytes.count), UInt8(piece.address >> 8), UInt8(piece.address & 0xFF), 0] + piece.bytes
      return ":" + (bytes + [0 &- bytes.reduce(0, &+)]).map(digits).joined()
    }
    return (lines + [":00000001FF"]).joined(separator: "\r\n") + "\r\n"
  }

  private static func program(seed: UInt64) -> (text: String, memory: [UInt16: UInt8]) {
    var generator = SeededGenerator(seed: seed)
    var pieces: [IntelHex.Piece] = []
    var address: UInt16 = 0
    for _ in 0..<60 {
      let bytes = (0..<Int.random(in: 1...200, using: &generator)).map { _ in
        UInt8.random(in: .min ... .max, using: &generator)
      }
      pieces.append(.init(address: address, bytes: bytes))
      address += UInt16(bytes.count) + UInt16.random(in: 0...9, using: &generator)
    }
    var memory: [UInt16: UInt8] = [:]
    for piece in pieces {
      for (offset, byte) in piece.bytes.enumerated() { memory[piece.address + UInt16(offset)] = byte }
    }
    return (hex(pieces), memory)
  }

  private func setUp(_ memory: [UInt16: UInt8]) -> (FakeBus, FakeBlaster2) {
    let fake = FakeBlaster2(wires: BoardModel.cycloneV(expectedBytes: 1, hertz: 1).0, firmware: memory)
    let bus = FakeBus([fake])
    fake.bus = bus
    return (bus, fake)
  }

  @Test("An empty cable takes the firmware byte for byte, leaves, comes back, and scans")
  func upload() throws {
    let (text, memory) = Self.program(seed: 3)
    let (bus, fake) = setUp(memory)
    let found = try #require(CableFinder.find(on: bus).first)
    #expect(found.known.kind == .blaster2Empty)
    let cable = try CableFinder.open(
      found, options: CableOptions(firmware: try IntelHex(Array(text.utf8))), on: bus)
    #expect(fake.device.product == 0x6010)
    #expect(try ChainScan(TAPController(cable)).run().devices.count == 2)
    cable.close()
    #expect(bus.isClean)
  }

  @Test func isAskedFor() throws {
    let (bus, _) = setUp([0: 1])
    let found = try #require(CableFinder.find(on: bus).first)
    #expect(throws: JTAGError.firmwareNeeded(path: "1-3.1")) { try CableFinder.open(found, on: bus) }
  }

  @Test("A program that does not start the cable is an error after ten seconds at most")
  func wrongProgram() throws {
    let (bus, _) = setUp([0: 1])
    let found = try #require(CableFinder.find(on: bus).first)
    let firmware = try IntelHex(Array(Self.program(seed: 1).text.utf8))
    let error = #expect(throws: JTAGError.self) {
      try CableFinder.open(found, options: CableOptions(firmware: firmware), on: bus)
    }
    #expect("\(error.map(String.init(describing:)) ?? "")".contains("did not come back"))
    #expect(bus.time <= .seconds(11))
    #expect(bus.isClean)
  }

  @Test("Every file that is damaged in one character, and every one that is cut short, is refused")
  func damage() throws {
    let text = Array(Self.program(seed: 2).text.utf8)
    _ = try IntelHex(text)
    for index in stride(from: 0, to: text.count, by: 3) where text[index] > 32 {
      var bad = text
      bad[index] = bad[index] == UInt8(ascii: "7") ? UInt8(ascii: "8") : UInt8(ascii: "7")
      #expect(throws: JTAGError.self) { try IntelHex(bad) }
    }
    for count in stride(from: 0, to: text.count - 14, by: 11) {
      #expect(throws: JTAGError.self) { try IntelHex(Array(text.prefix(count))) }
    }
  }
}
