internal import VTAModule

/// A folder of bitstreams, with the catalogue that recognises them.
package struct BitstreamFolder: Sendable {
  package static let standard = "/var/lib/vtad/bitstreams"

  package struct Entry: Sendable {
    package let name: String
    /// What the file is; or why it is nothing.
    package let contents: Result<Bitstream, BitstreamError>
    /// `nil`: nothing is known of it.
    package let known: KnownBitstream?
  }

  package let path: String
  package let catalogue: BitstreamCatalogue
  /// By name.
  package let entries: [Entry]

  private static let extensions = [".bit", ".bin", ".rbf"]

  /// A folder that does not exist is empty.
  /// - Throws: ``BitstreamError``: its manifest is damaged, or unreadable.
  package init(_ path: String, on kernel: any Kernel = LinuxKernel()) throws(BitstreamError) {
    self.path = path
    let catalogue = try BitstreamCatalogue(folder: path)
    self.catalogue = catalogue
    let names = ((try? kernel.entries(of: path)) ?? []).filter { name in
      Self.extensions.contains { name.hasSuffix($0) }
    }
    entries = names.map { name in
      let contents: Result<Bitstream, BitstreamError>
      do throws(BitstreamError) {
        contents = .success(try Bitstream(file: "\(path)/\(name)"))
      } catch {
        contents = .failure(error)
      }
      return Entry(name: name, contents: contents, known: (try? contents.get()).flatMap(catalogue.recognise))
    }
  }
}

extension Bitstream {
  /// Reads a file.
  /// - Throws: ``BitstreamError``.
  package init(file path: String) throws(BitstreamError) {
    let bytes: [UInt8]
    do {
      bytes = try File.read(path, limit: Self.byteCountMax)
    } catch .tooLarge {
      throw .tooLarge(byteCount: Self.byteCountMax + 1)
    } catch {
      throw .unreadable(reason: error.reason)
    }
    try self.init(bytes)
  }
}
