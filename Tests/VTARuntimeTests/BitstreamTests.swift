import Testing
import VTA

@testable import VTARuntime

/// Files as the reference describes them (8.2), built here from its text.
enum BitstreamFiles {
  static func bit(part: String, idcode: UInt32, words: Int = 64) -> [UInt8] {
    let data = self.words(idcode: idcode, count: words)
    var bytes: [UInt8] = [0x00, 0x09, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x00, 0x00, 0x01]
    let records = [
      ("a", "vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3"), ("b", part), ("c", "2020/06/30"),
      ("d", "18:11:16"),
    ]
    for (key, text) in records {
      bytes += Array(key.utf8) + [0, UInt8(text.utf8.count + 1)] + Array(text.utf8) + [0]
    }
    return bytes + Array("e".utf8) + bigEndian(UInt32(data.count)) + data
  }

  static func words(idcode: UInt32, count: Int = 64) -> [UInt8] {
    var words = [UInt32](repeating: .max, count: 8)
    words += [0x0000_00bb, 0x1122_0044, .max, .max, 0xaa99_5566, 0x2000_0000, 0x3000_8001, 0x7, 0x2000_0000]
    words += [0x3001_8001, idcode]
    words += [UInt32](repeating: 0x2000_0000, count: count - words.count)
    return words.flatMap(bigEndian)
  }

  static let rbf = [UInt8](repeating: 0xff, count: 128) + [0x6a, 0x6a, 0x6a, 0x6a] + (0..<64)

  private static func bigEndian(_ word: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) }
  }
}

struct BitstreamTests {
  private static let pynq = BitstreamFiles.bit(part: "7z020clg484", idcode: 0x0372_7093)

  @Test func headerOfTheFormOfThePublishedFiles() throws {
    let bitstream = try Bitstream(Self.pynq)
    #expect(bitstream.format == .bit)
    // The published file's payload starts there.
    #expect(bitstream.payload == 107..<107 + 256)
    #expect(bitstream.header?.part == "7z020clg484")
    #expect(bitstream.header?.date == "2020/06/30")
    #expect(bitstream.idcode == 0x0372_7093)
  }

  @Test func firmwareIsWhatTheKernelLooksFor() throws {
    let firmware = try Bitstream(Self.pynq).firmware
    // zynq-fpga wants the sync word as 66 55 99 AA.
    #expect(Array(firmware[48..<52]) == [0x66, 0x55, 0x99, 0xaa])
    #expect(try Bitstream(firmware).firmware == firmware)
    #expect(try Bitstream(BitstreamFiles.words(idcode: 0x0372_7093)).firmware == firmware)
    #expect(try Bitstream(BitstreamFiles.rbf).firmware == BitstreamFiles.rbf)
  }

  @Test func everyTruncationIsAnError() {
    for count in 0..<Self.pynq.count {
      #expect(throws: BitstreamError.self, "\(count) bytes") { try Bitstream(Array(Self.pynq[..<count])) }
    }
    #expect(throws: BitstreamError.self) { try Bitstream(Self.pynq + [0]) }
  }

  @Test func hostileFiles() {
    func fails(_ bytes: [UInt8], _ expected: BitstreamError) {
      #expect(throws: expected) { try Bitstream(bytes) }
    }
    var bytes = Self.pynq
    bytes.replaceSubrange(103..<107, with: [0xff, 0xff, 0xff, 0xff])
    fails(bytes, .truncated(what: "the configuration data", at: bytes.count))
    bytes = Self.pynq
    bytes[107 + 48] = 0
    fails(bytes, .noSyncWord)
    bytes = Self.pynq
    bytes[14] = 0xff
    fails(bytes, .truncated(what: "record a", at: 16))
    fails([UInt8](repeating: 0xff, count: 4096), .unknownFormat)
    fails([], .unknownFormat)
    fails(
      [UInt8](repeating: 0, count: Bitstream.byteCountMax + 1),
      .tooLarge(byteCount: Bitstream.byteCountMax + 1))
    fails(BitstreamFiles.words(idcode: 1) + [0], .unevenPayload(byteCount: 257))
  }

  @Test(arguments: [
    ("7z020clg484", "7z020", "clg484"), ("xc7z020clg400-1", "7z020", "clg400"),
    ("xczu3eg-sbva484-1-e", "zu3eg", "sbva484"), ("zu9egffvb1156", "zu9eg", "ffvb1156"), ("", "", ""),
    ("-", "", ""),
  ])
  func partNames(text: String, device: String, package: String) {
    #expect(PartName(text).device == device)
    #expect(PartName(text).package == package)
  }

  @Test func whichBoardTakesWhich() throws {
    let files: [String: [UInt8]] = [
      "pynq": Self.pynq,
      "ultra96": BitstreamFiles.bit(part: "xczu3eg-sbva484-1-e", idcode: 0x1471_0093),
      "zcu102": BitstreamFiles.bit(part: "xczu9eg-ffvb1156-2-e", idcode: 0x2473_8093),
      "zcu104": BitstreamFiles.bit(part: "xczu7ev-ffvc1156-2-e", idcode: 0x1473_0093),
      "de10nano": BitstreamFiles.rbf,
    ]
    for (target, bytes) in files {
      let bitstream = try Bitstream(bytes)
      for board in Board.all {
        let fits = (try? bitstream.check(for: board)) != nil
        #expect(fits == (board.target.name == target), "\(target) on \(board.name)")
      }
    }
  }

  /// The published bitstreams for PYNQ were built for another package of the same device.
  @Test func anotherPackageIsMentioned() throws {
    let board = try #require(Board.named("pynq-z1"))
    let notes = try Bitstream(Self.pynq).check(for: board)
    #expect(notes.count == 1 && notes[0].contains("clg484") && notes[0].contains("clg400"))
  }

  /// A header can claim anything; the configuration data decides.
  @Test func theConfigurationDataOutweighsTheHeader() throws {
    let board = try #require(Board.named("ultra96-v2"))
    let forged = try Bitstream(BitstreamFiles.bit(part: "xczu3eg-sbva484-1-e", idcode: 0x0473_8093))
    let error = #expect(throws: BitstreamError.self) { try forged.check(for: board) }
    #expect(
      error?.description.contains("0x4738093") == true && error?.description.contains("0x4710093") == true)
  }
}

struct BitstreamCatalogueTests {
  private func manifest(_ entry: String) -> [UInt8] { Array("{\"bitstreams\": [{\(entry)}]}".utf8) }

  private func entry(_ digest: String, _ more: String = "\"hw_ver\": \"0.0.1\"") -> String {
    """
    \(digest), "file": "own.bit", "from": "here", "boards": ["ultra96-v2"], "target": "ultra96",
    "configuration": "1x16_i8w8a32_15_15_18_17", \(more)
    """
  }

  /// Profiles as DESIGN.md gives them to targets.
  @Test(arguments: [
    ("de10-nano", "de10nano", "0.0.1", "chisel-2020"), ("pynq-z2", "pynq", "0.0.2", "hls-002"),
    ("pynq-z2", "pynq", "0.0.1", "hls-001"), ("ultra96-v1", "ultra96", "0.0.1", "hls-001"),
  ])
  func publishedBitstreams(board: String, target: String, version: String, profile: String) throws {
    let board = try #require(Board.named(board))
    let found = BitstreamCatalogue.published.bitstreams(for: board).filter { $0.hardwareVersion == version }
    #expect(!found.isEmpty)
    #expect(found.allSatisfy { $0.target.name == target && $0.target.profile.name == profile })
  }

  @Test func everyPublishedBitstreamIsForKnownBoards() {
    let names = Set(Board.all.map(\.name))
    for bitstream in BitstreamCatalogue.published.bitstreams {
      #expect(!bitstream.boards.isEmpty && names.isSuperset(of: bitstream.boards))
    }
  }

  /// Digests from sha256sum and git hash-object, of the bytes 66 55 99 aa.
  @Test(arguments: [
    "\"sha256\": \"caf39d32dbf89d4f4541c90f860e5f72d1a54c568e6be12b3ef86e0000af5181\"",
    "\"git_blob\": \"18960a7684ba8a05f0d1be5836db7699df136e1c\"",
  ])
  func anOperatorsBitstreamIsRecognised(digest: String) throws {
    let bitstream = try Bitstream([0x66, 0x55, 0x99, 0xaa])
    let catalogue = try BitstreamCatalogue(json: manifest(entry(digest)))
    let known = try #require(catalogue.recognise(bitstream))
    #expect(known.target.profile == .hls001)
    #expect(BitstreamCatalogue.published.recognise(bitstream) == nil)
    #expect(catalogue.recognise(try Bitstream([0x66, 0x55, 0x99, 0xaa, 0, 0, 0, 0])) == nil)
  }

  @Test func olderDesignsHaveTheirRegistersElsewhere() throws {
    let board = try #require(Board.named("pynq-z1"))
    let known = BitstreamCatalogue.published.bitstreams(for: board).filter { $0.hardwareVersion == "0.0.0" }
    #expect(known.count == 3)
    for bitstream in known {
      // Reference, 5.1.
      let bases = board.configured(with: bitstream).registers.bases.mapValues(\.rawValue)
      #expect(bases == [.fetch: 0x43c0_0000, .compute: 0x43c1_0000, .load: 0x43c2_0000, .store: 0x43c3_0000])
    }
  }

  @Test(arguments: [
    ("\"sha256\": \"12\"", "\"hw_ver\": \"0.0.1\"", "64 lower-case"),
    ("\"sha256\": 12", "\"hw_ver\": \"0.0.1\"", "sha256 has the wrong type"),
    (
      "\"git_blob\": \"4c406822f80888713c4d2ab66cf9bd72d7a4ff58\"", "\"hw_ver\": \"7\"",
      "set profile to one of"
    ),
    (
      "\"git_blob\": \"4c406822f80888713c4d2ab66cf9bd72d7a4ff58\"",
      "\"hw_ver\": \"0.0.1\", \"registers\": {\"layout\": \"vcr\", \"blocks\": {}, \"window\": \"0x1000\"}",
      "vcr"
    ),
  ])
  func brokenManifestsSayWhere(digest: String, more: String, expected: String) {
    let error = #expect(throws: BitstreamError.self) {
      try BitstreamCatalogue(json: manifest(entry(digest, more)))
    }
    #expect(error?.description.contains(expected) == true, "\(String(describing: error))")
  }
}
