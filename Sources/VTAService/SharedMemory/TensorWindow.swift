/// The part of a shared memory region that holds, or will hold, one tensor of a request.
struct TensorWindow: Sendable {
  let region: SharedRegion
  let offset: UInt64
  /// What the client says the tensor takes, or may take.
  let byteCount: Int

  /// `nil` if the tensor is in the message.
  /// - Throws: ``ServiceError`` if there is no such region, or the window is not in it.
  init?(
    _ parameters: RequestParameters, of what: String, regions: SharedRegions, caller: Caller
  ) throws(ServiceError) {
    guard let name = try parameters.text("shared_memory_region") else { return nil }
    guard let size = try parameters.number("shared_memory_byte_size"), let byteCount = Int(exactly: size)
    else {
      throw ServiceError(
        .invalidArgument, "\(what) is in shared memory but its shared_memory_byte_size is missing; fill it in"
      )
    }
    region = try regions.find(name, for: caller)
    offset = try parameters.number("shared_memory_offset") ?? 0
    self.byteCount = byteCount
    try region.check(offset, byteCount)
  }
}
