package import Crypto
private import Foundation

/// Who vouches for a module: Ed25519 signatures in the optional section `SIGN`.
///
/// A signature covers kind, flags, length and SHA-256 of every other section, in the order of the file, so that a signed
/// file can be signed again and signatures don't depend on where sections lie.
package enum ModuleSignature {
  package static let keyByteCount = 32
  private static let signatureByteCount = 64
  private static let recordByteCount = keyByteCount + signatureByteCount
  /// More signatures than anybody needs.
  private static let recordsMax = 64
  private static let kind: [UInt8] = Array("SIGN".utf8)
  /// Keeps a signature from meaning anything else.
  private static let context = Array("vtab module signature 1\n".utf8)

  /// The same module with one more signature, or with a new one by the same key.
  /// - Throws: ``ModuleError`` if the bytes are no module.
  package static func signed(
    _ bytes: [UInt8], by key: Curve25519.Signing.PrivateKey
  ) throws(ModuleError) -> [UInt8] {
    _ = try ModuleReader.read(bytes)
    let sections = try RawSection.all(in: bytes)
    let others = sections.filter { $0.kind != kind }
    let signature: Data
    do {
      signature = try key.signature(for: Data(statement(of: others)))
    } catch {
      throw ModuleError("signature", "the key can't sign: \(error)")
    }
    let own = Array(key.publicKey.rawRepresentation)
    let records =
      try self.records(sections).filter { $0.key != own } + [Record(key: own, signature: Array(signature))]
    guard records.count <= recordsMax else {
      throw ModuleError(
        "section SIGN", "there are \(recordsMax) signatures already; sign the file as it was compiled")
    }
    let section = RawSection(
      kind: kind, flags: FileLayout.optionalFlag, bytes: records.flatMap { $0.key + $0.signature }[...])
    return ModuleWriter.file(of: others + [section])
  }

  /// Public keys whose signatures are right; the others don't count.
  /// - Throws: ``ModuleError`` if the bytes are no module, or the section is malformed.
  package static func signers(of bytes: [UInt8]) throws(ModuleError) -> [[UInt8]] {
    let sections = try RawSection.all(in: bytes)
    let records = try records(sections)
    guard !records.isEmpty else { return [] }
    let statement = Data(statement(of: sections.filter { $0.kind != kind }))
    return records.filter { record in
      let key = try? Curve25519.Signing.PublicKey(rawRepresentation: Data(record.key))
      return key?.isValidSignature(Data(record.signature), for: statement) ?? false
    }.map(\.key)
  }

  private struct Record {
    let key: [UInt8]
    let signature: [UInt8]
  }

  private static func records(_ sections: [RawSection]) throws(ModuleError) -> [Record] {
    let found = sections.filter { $0.kind == kind }
    guard found.count <= 1 else { throw ModuleError("section table", "there are several sections SIGN") }
    guard let bytes = found.first.map({ Array($0.bytes) }) else { return [] }
    guard bytes.count.isMultiple(of: recordByteCount), bytes.count <= recordsMax * recordByteCount else {
      throw ModuleError("section SIGN", "\(bytes.count) bytes are not whole signatures")
    }
    return stride(from: 0, to: bytes.count, by: recordByteCount).map { start in
      Record(
        key: Array(bytes[start..<(start + keyByteCount)]),
        signature: Array(bytes[(start + keyByteCount)..<(start + recordByteCount)]))
    }
  }

  private static func statement(of sections: [RawSection]) -> [UInt8] {
    var statement = context
    for section in sections {
      statement += section.kind
      statement.append(littleEndian: section.flags)
      statement.append(littleEndian: UInt64(section.bytes.count))
      statement += Array(SHA256.hash(data: section.bytes))
    }
    return statement
  }
}
