private import CLibZip
internal import VTAModule

/// NumPy's `.npz`: a ZIP archive of `.npy` files, one per array.
enum NPZ {
  /// An archive that unpacks to more is refused, whatever its size.
  private static let byteCountMax: UInt64 = 4 << 30

  /// - Returns: the arrays by name, without `.npy`.
  /// - Throws: ``Failure`` naming the file and the array.
  static func read(_ path: String) throws(Failure) -> [String: Tensor] {
    var code: Int32 = 0
    guard let archive = zip_open(path, ZIP_RDONLY, &code) else {
      var error = zip_error_t()
      zip_error_init_with_code(&error, code)
      defer { zip_error_fini(&error) }
      let reason = zip_error_strerror(&error).map { String(cString: $0) } ?? "unknown error"
      throw Failure(path, "is no readable .npz archive: \(reason)")
    }
    defer { zip_discard(archive) }
    var tensors: [String: Tensor] = [:]
    var total: UInt64 = 0
    for index in 0..<UInt64(max(0, zip_get_num_entries(archive, 0))) {
      var status = zip_stat_t()
      guard zip_stat_index(archive, index, 0, &status) == 0, let name = status.name else {
        throw Failure(path, "entry \(index) of the archive is damaged")
      }
      let entry = String(cString: name)
      guard entry.hasSuffix(".npy") else { continue }
      total += status.size
      guard total <= byteCountMax, let count = Int(exactly: status.size) else {
        throw Failure(path, "unpacks to more than \(byteCountMax >> 30) GiB; split it")
      }
      let bytes = try unpack(archive, index, count: count, "\(path): \(entry)")
      do {
        tensors[String(entry.dropLast(4))] = try NPY.decode(bytes)
      } catch {
        throw Failure("\(path): \(entry)", error)
      }
    }
    return tensors
  }

  private static func unpack(
    _ archive: OpaquePointer, _ index: UInt64, count: Int, _ what: String
  ) throws(Failure) -> [UInt8] {
    guard let file = zip_fopen_index(archive, index, 0) else {
      throw Failure(what, "can't be unpacked; is the archive complete?")
    }
    defer { zip_fclose(file) }
    // Grows with what is really there: the size in the directory is only a claim.
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let read = zip_fread(file, &chunk, UInt64(chunk.count))
      if read == 0 { break }
      guard read > 0, bytes.count + Int(read) <= count else {
        throw Failure(what, "is damaged: it does not unpack to the \(count) bytes that the archive names")
      }
      bytes += chunk[..<Int(read)]
    }
    guard bytes.count == count else { throw Failure(what, "is damaged: it ends early") }
    return bytes
  }
}
