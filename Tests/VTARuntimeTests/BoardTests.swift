import Foundation
import Testing
import VTA

@testable import VTARuntime

struct BoardTests {
  private static let folder = URL(filePath: #filePath).appending(path: "../../../Configs/boards").standardized

  @Test func everyDescriptionIsPartOfTheProgram() throws {
    let files = try FileManager.default.contentsOfDirectory(at: Self.folder, includingPropertiesForKeys: nil)
    for file in files {
      let board = try Board(json: [UInt8](Data(contentsOf: file)))
      #expect(board.name + ".json" == file.lastPathComponent)
      #expect(Board.named(board.name) == board)
    }
    #expect(Board.all.count == files.count)
    #expect(Board.all.map(\.name) == Board.all.map(\.name).sorted())
  }

  @Test func thePageOfBoardsIsCurrent() throws {
    let page = BoardReference.page
    let file = Self.folder.appending(path: "../../Documentation/Reference/\(page.fileName)").standardized
    let committed = try? String(contentsOf: file, encoding: .utf8)
    #expect(committed == page.text, "\(page.fileName) is not current: run make reference")
  }

  /// From `tvm-vta: config/pkg_config.py`, by way of the reference (1.4, C1).
  @Test(arguments: [
    ("pynq-z1", "pynq", 64, 100, 0x43c0_0000, 0x4000_0000, 0),
    ("ultra96-v1", "ultra96", 128, 333, 0xa000_0000, 0x8000_0000, 0),
    ("zcu104", "zcu104", 128, 333, 0xa000_0000, 0x8000_0000, 0),
    ("de10-nano", "de10nano", 64, 100, 0xff22_0000, 0x4000_0000, 0x8000_0000),
  ])
  func boardFacts(
    name: String, target: String, bus: Int, clock: Int, base: UInt64, limit: UInt64, offset: UInt64
  ) throws {
    let board = try #require(Board.named(name))
    #expect(board.target == Target.named(target))
    #expect(board.busBits == bus)
    #expect(board.clockMegahertz == clock)
    #expect(board.registers.bases.values.min()?.rawValue == base)
    #expect(board.memory.limit.rawValue == limit)
    #expect(board.memory.deviceAddress(of: PhysicalAddress(0x1000)).rawValue == 0x1000 + offset)
  }

  @Test func windowEndsAreChecked() throws {
    let memory = try #require(Board.named("ultra96-v2")).memory
    #expect(memory.reaches(PhysicalAddress(0x7fff_f000), byteCount: 0x1000))
    #expect(!memory.reaches(PhysicalAddress(0x7fff_f000), byteCount: 0x1001))
    #expect(!memory.reaches(PhysicalAddress(.max), byteCount: 1))
    #expect(!memory.reaches(PhysicalAddress(0), byteCount: .max))
  }

  @Test(arguments: [
    ("\"window\": \"0x1000\"", "\"window\": \"0x10\"", "window"),
    ("\"0xa0001000\"", "\"0xa0000800\"", "pages"),
    ("\"0xa0001000\"", "\"0xa0000000\"", "lie in each other"),
    ("\"fetch\":", "\"fetsh\":", "fetch, load, compute, store"),
    ("\"0xa0001000\"", "\"a0001000\"", "0x…"),
    ("\"layout\": \"hls\"", "\"layout\": \"axi\"", "hls, vcr"),
    ("\"target\": \"ultra96\"", "\"target\": \"ultra95\"", "ultra95"),
    ("\"bus_bits\": 128", "\"bus_bits\": 127", "bus_bits"),
    ("\"mask\": \"0x3\"", "\"mask\": \"0x100000003\"", "corrections"),
    ("\"limit\": \"0x80000000\"", "\"limit\": \"0x180000000\"", "4 GiB"),
    ("\"part\":", "\"parts\":", "part is missing"),
  ])
  func aBrokenDescriptionSaysWhere(from: String, to: String, expected: String) throws {
    let text = try String(contentsOf: Self.folder.appending(path: "ultra96-v1.json"), encoding: .utf8)
    let broken = text.replacingOccurrences(of: from, with: to)
    #expect(broken != text)
    let error = #expect(throws: BoardError.self) { try Board(json: Array(broken.utf8)) }
    #expect(error?.description.contains(expected) == true, "\(String(describing: error))")
  }

  @Test func anUnknownNameListsTheKnownOnes() {
    let error = #expect(throws: BoardError.self) { try Board.find("zedboard") }
    #expect(error?.description.contains("zcu102") == true)
    #expect(throws: BoardError.self) { try Board.find("/nowhere/board.json") }
  }
}
