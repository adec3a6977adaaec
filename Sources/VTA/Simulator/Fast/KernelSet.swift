internal import CVTAKernels

/// The inner loops that the fast simulator uses, one set per instruction set of the CPU.
package struct KernelSet: Sendable {
  /// `avx512-vnni`, `avx2`, `neon-dot`, `neon`, `portable`.
  package let name: String
  let inputBias: UInt8
  let kernel: (@convention(c) (UnsafePointer<vta_tiles>?) -> Void)?

  /// What this machine can run, best first.
  package static let available: [KernelSet] = {
    var sets: UnsafePointer<UnsafePointer<vta_kernel_set>?>?
    let count = vta_kernel_sets(&sets)
    return (0..<count).compactMap { index in
      guard let set = sets?[index]?.pointee else { return nil }
      return KernelSet(name: String(cString: set.name), inputBias: set.input_bias, kernel: set.tiles)
    }
  }()

  package static func named(_ name: String) -> KernelSet? { available.first { $0.name == name } }

  /// Multiply-accumulates per second that the best int8 dot product of this machine reaches from registers, on one core.
  package static func int8Peak(seconds: Double) -> Double { vta_int8_peak(seconds) }
}
