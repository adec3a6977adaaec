package import VTA
package import VTAModule

/// The check of patched programs against the memory of their own module.
package struct ProgramCheck {
  private let module: Module
  private let regions: [DeviceAddress]
  private let window: Range<UInt64>

  /// - Parameters:
  ///   - regions: addresses by index.
  ///   - window: addresses that the device's memory port reaches.
  package init(
    module: Module, regions: [DeviceAddress], window: Range<UInt64> = ProgramVerifier.wholeWindow
  ) {
    self.module = module
    self.regions = regions
    self.window = window
  }

  /// - Parameter words: a patched program of the module.
  package func findings(_ words: [InstructionWords]) throws(ConfigurationError) -> [ProgramVerifier.Finding] {
    try ProgramVerifier.findings(
      words, target: module.target,
      extents: zip(module.regions, regions).map { region, address in
        ProgramVerifier.Extent(
          address: address.rawValue, byteCount: region.byteCount, isWritable: region.role == .workspace)
      },
      window: window,
      readMicroOps: microOps)
  }

  /// `nil` outside of micro-op regions.
  private func microOps(at address: UInt64, count: Int) -> [UInt32]? {
    for (region, start) in zip(module.regions, regions) {
      guard case .microOps(let bytes) = region.role, address >= start.rawValue,
        address - start.rawValue < region.byteCount
      else { continue }
      let offset = Int(address - start.rawValue)
      guard count <= (bytes.count - offset) / Limits.microOpBytes else { return nil }
      return bytes.withUnsafeBytes { raw in
        (0..<count).map { index in
          let place = offset + index * Limits.microOpBytes
          return UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: place, as: UInt32.self))
        }
      }
    }
    return nil
  }
}
