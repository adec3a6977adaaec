private import CVTAKernels

/// The inner loops that the fast simulator uses, one set per instruction set of the CPU.
package struct KernelSet: Sendable {
  /// `avx512-vnni`, `avx2`, `neon-dot`, `neon`, `portable`.
  package let name: String
  let inputBias: UInt8
  let index: Int

  /// What this machine can run, best first.
  package static let available: [KernelSet] = {
    var sets: UnsafePointer<UnsafePointer<vta_kernel_set>?>?
    let count = vta_kernel_sets(&sets)
    return (0..<count).compactMap { index in
      guard let set = sets?[index]?.pointee else { return nil }
      return KernelSet(name: String(cString: set.name), inputBias: set.input_bias, index: index)
    }
  }()

  /// Whether two GEMM calls with the same inputs can be computed at once.
  func takesPairs(block: Int) -> Bool {
    var sets: UnsafePointer<UnsafePointer<vta_kernel_set>?>?
    guard index < vta_kernel_sets(&sets), let set = sets?[index]?.pointee else { return false }
    return set.takes_pairs(block) != 0
  }

  package static func named(_ name: String) -> KernelSet? { available.first { $0.name == name } }

  /// Multiply-accumulates per second that the best int8 dot product of this machine reaches from registers, on one core.
  package static func int8Peak(seconds: Double) -> Double { vta_int8_peak(seconds) }
}
