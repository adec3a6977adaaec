private import FoundationEssentials
private import SystemPackage
internal import VTA
internal import VTAModule

/// Bitstreams that are recognised. `bitstreams/manifest.json` is part of the program; an operator's folder adds its own
/// `manifest.json`, of the same form, to it.
package struct BitstreamCatalogue: Sendable {
  package private(set) var bitstreams: [KnownBitstream]

  private static let manifestBytesMax = 1 << 20
  package static let manifestName = "manifest.json"

  /// Those that were published with VTA.
  package static let published: BitstreamCatalogue = {
    do {
      return try BitstreamCatalogue(json: PackageResources.manifest_json)
    } catch {
      preconditionFailure("bitstreams/manifest.json: \(error)")
    }
  }()

  /// - Parameter json: the bytes of a manifest.
  package init(json: [UInt8]) throws(BitstreamError) {
    let file: ManifestFile
    do {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      file = try decoder.decode(ManifestFile.self, from: Data(json))
    } catch let error as DecodingError {
      throw BitstreamError.manifest(reason: error.reason)
    } catch {
      throw BitstreamError.manifest(reason: "\(error)")
    }
    bitstreams = []
    for entry in file.bitstreams { bitstreams.append(try entry.bitstream()) }
  }

  /// The published bitstreams and those of a folder's manifest, if it has one. The folder's come first.
  package init(folder: String) throws(BitstreamError) {
    self = .published
    let bytes: [UInt8]
    do {
      bytes = try File.read("\(folder)/\(Self.manifestName)", limit: Self.manifestBytesMax)
    } catch .system(_, .noSuchFileOrDirectory) {
      return
    } catch {
      throw .unreadable(reason: "\(error)")
    }
    bitstreams = try BitstreamCatalogue(json: bytes).bitstreams + bitstreams
  }

  package func recognise(_ bitstream: Bitstream) -> KnownBitstream? {
    bitstreams.first { $0.matches(bitstream) }
  }

  package func bitstreams(for board: Board) -> [KnownBitstream] {
    bitstreams.filter { $0.boards.contains(board.name) }
  }
}

private struct ManifestFile: Decodable {
  struct Entry: Decodable {
    var sha256: String?
    var gitBlob: String?
    var file: String
    var from: String
    var byteCount: Int?
    var boards: [String]
    var hwVer: String
    var target: String
    var configuration: String
    /// Where (target, hw_ver) is no pair that VTA knows.
    var profile: String?
    var registers: Board.Registers.File?
    var clockMhz: Int?

    func bitstream() throws(BitstreamError) -> KnownBitstream {
      KnownBitstream(
        digest: try digest(), file: file, origin: from, byteCount: byteCount, boards: boards,
        hardwareVersion: hwVer, target: try makeTarget(), registers: try makeRegisters(),
        clockMegahertz: clockMhz)
    }

    private func digest() throws(BitstreamError) -> KnownBitstream.Digest {
      func isHexadecimal(_ text: String, digits: Int) -> Bool {
        text.utf8.count == digits && text.allSatisfy { "0123456789abcdef".contains($0) }
      }
      if let sha256, isHexadecimal(sha256, digits: 64) { return .sha256(sha256) }
      if sha256 == nil, let gitBlob, isHexadecimal(gitBlob, digits: 40) { return .gitBlob(gitBlob) }
      throw .manifest(reason: "\(file) has no sha256 of 64 lower-case hexadecimal digits")
    }

    private func makeTarget() throws(BitstreamError) -> Target {
      let known = profile.map(HardwareProfile.named) ?? Target.knownProfile(target: target, version: hwVer)
      guard let known else {
        let names = HardwareProfile.all.map(\.name).joined(separator: ", ")
        throw .manifest(
          reason:
            "\(file): neither (\(target), \(hwVer)) nor its profile is known; set profile to one of \(names)")
      }
      do {
        return try Target(
          name: target, configuration: HardwareConfiguration(name: configuration), profile: known)
      } catch {
        throw .manifest(reason: "\(file): \(error)")
      }
    }

    private func makeRegisters() throws(BitstreamError) -> Board.Registers? {
      guard let registers else { return nil }
      do {
        return try Board.Registers(registers)
      } catch {
        throw .manifest(reason: "\(file): \(error)")
      }
    }
  }

  var bitstreams: [Entry]
}
