private import Crypto

/// Modules as the bytes of a `.vtab` file.
package enum ModuleWriter {
  /// The same module gives the same bytes.
  /// - Throws: ``ModuleError`` if the module doesn't make sense; a file that is written can be read.
  package static func bytes(of module: Module) throws(ModuleError) -> [UInt8] {
    try ModuleCheck.check(module)
    var contents = ManifestEncoder()
    let manifest = try contents.manifest(of: module)
    try ManifestScan.check(manifest[...])
    let sections: [(SectionKind, [UInt8])] = [
      (.manifest, manifest), (.constants, contents.constants), (.instructions, contents.instructions),
      (.microOps, contents.microOps),
    ]
    return file(of: sections.map { RawSection(kind: $0.code, flags: 0, bytes: $1[...]) })
  }

  static func file(of sections: [RawSection]) -> [UInt8] {
    var body = table(of: sections)
    for section in sections {
      pad(&body)
      body += section.bytes
    }
    return header(of: body, sectionCount: sections.count) + body
  }

  private static func table(of sections: [RawSection]) -> [UInt8] {
    var table: [UInt8] = []
    var offset = UInt64(FileLayout.Header.byteLength + sections.count * FileLayout.Entry.byteLength)
    for section in sections {
      offset = FileLayout.aligned(offset)
      let length = UInt64(section.bytes.count)
      SectionEntry(kind: section.kind, flags: section.flags, offset: offset, length: length).append(
        to: &table)
      offset += length
    }
    return table
  }

  /// Up to the next section, counted from the start of the file.
  private static func pad(_ body: inout [UInt8]) {
    let end = FileLayout.aligned(UInt64(FileLayout.Header.byteLength + body.count))
    body += [UInt8](repeating: 0, count: Int(end) - FileLayout.Header.byteLength - body.count)
  }

  private static func header(of body: [UInt8], sectionCount: Int) -> [UInt8] {
    var header = FileLayout.magic
    header.append(littleEndian: FileLayout.version)
    header.append(littleEndian: UInt32(sectionCount))
    header.append(littleEndian: UInt64(FileLayout.Header.byteLength + body.count))
    header.append(littleEndian: UInt64(0))
    return header + Array(SHA256.hash(data: body))
  }
}
