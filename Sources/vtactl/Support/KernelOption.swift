internal import ArgumentParser
internal import VTA

/// `--kernels NAME`, for comparisons.
struct KernelOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Inner loops of the fast simulator: \(KernelSet.available.map(\.name).joined(separator: ", ")).",
      discussion: "The first is the default; they all compute the same.", valueName: "name"))
  var kernels: String?

  /// - Throws: ``Failure`` if this machine has no kernels of that name.
  func resolved() throws -> KernelSet? {
    guard let kernels else { return KernelSet.available.first }
    guard let set = KernelSet.named(kernels) else {
      let known = KernelSet.available.map(\.name).joined(separator: ", ")
      throw Failure.usage("--kernels \(kernels)", "this machine has none of that name; it has \(known)")
    }
    return set
  }
}
