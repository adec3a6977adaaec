private import Crypto
private import VTA
private import VTAModule
private import VTARuntime

extension FuzzedDecoder {
  /// `.vtab` files, whose size and digest are put right first: damage that the digest shows is not worth a search.
  static let module = FuzzedDecoder(name: "vtab") { bytes in
    guard bytes.count >= ModuleBytes.headerLength else {
      _ = try? ModuleReader.read(bytes)
      return nil
    }
    return feedModule(ModuleBytes.sealed(bytes))
  }

  /// The manifest of a `.vtab` file alone, between sections of fixed contents.
  static let manifest = FuzzedDecoder(name: "manifest") { feedModule(ModuleBytes.around(manifest: $0)) }

  /// Assembly text, with a lower bound on what it may describe than `vtactl` has, for more executions.
  static let assembly = FuzzedDecoder(name: "assembly") { bytes in
    guard let module = try? Assembler.module(from: bytes, contentBytesMax: 1 << 20) else { return nil }
    guard let again = try? Assembler.module(from: AssemblyWriter.text(module)), again == module else {
      return "the assembled module \(module.name) changes when it is disassembled and assembled again"
    }
    return nil
  }

  /// A module that is accepted is written and read again, and all of its programs are verified.
  private static func feedModule(_ bytes: [UInt8]) -> String? {
    guard let file = try? ModuleReader.read(bytes) else { return nil }
    guard let written = try? ModuleWriter.bytes(of: file.module) else {
      return "the accepted module \(file.module.name) can't be written"
    }
    guard let again = try? ModuleReader.read(written), again.module == file.module else {
      return "the accepted module \(file.module.name) changes when it is written and read again"
    }
    _ = ModuleVerification.findings(in: file.module)
    return nil
  }
}

/// The container of `.vtab` files as Documentation/ModuleFormat.md describes it, on its own: what a file would hold
/// whoever wrote it.
enum ModuleBytes {
  static let headerLength = 64
  private static let page = 4096

  /// The same bytes with the size and the digest that belong to them.
  static func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for index in 0..<8 { bytes[16 + index] = UInt8(truncatingIfNeeded: bytes.count >> (8 * index)) }
    bytes.replaceSubrange(32..<headerLength, with: Array(SHA256.hash(data: bytes[headerLength...])))
    return bytes
  }

  static func around(manifest: [UInt8]) -> [UInt8] {
    let contents: [UInt8] = (0..<page).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let sections: [(kind: String, bytes: [UInt8])] = [
      ("MANI", manifest), ("CNST", contents), ("INST", contents), ("UOPS", contents),
    ]
    var bytes: [UInt8] = [0x89, 0x56, 0x54, 0x41, 0x42, 0x0d, 0x0a, 0x1a]
    append(&bytes, 1, byteCount: 4)
    append(&bytes, sections.count, byteCount: 4)
    bytes += [UInt8](repeating: 0, count: headerLength - bytes.count)
    var offset = page
    for section in sections {
      bytes += Array(section.kind.utf8)
      append(&bytes, 0, byteCount: 4)
      append(&bytes, offset, byteCount: 8)
      append(&bytes, section.bytes.count, byteCount: 8)
      append(&bytes, 0, byteCount: 8)
      offset += (section.bytes.count + page - 1) / page * page
    }
    for section in sections {
      bytes += [UInt8](repeating: 0, count: (page - bytes.count % page) % page)
      bytes += section.bytes
    }
    return sealed(bytes)
  }

  private static func append(_ bytes: inout [UInt8], _ value: Int, byteCount: Int) {
    bytes += (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
