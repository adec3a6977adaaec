internal import SystemPackage

/// An entry of `/sys/class/fpga_manager`: `name` and `state`, and on Xilinx's kernels `flags` and `firmware`.
package struct FPGAManager {
  package static let folder = "/sys/class/fpga_manager"
  /// The state in which a design runs.
  package static let operating = "operating"

  /// `fpga0`
  package let entry: String
  let kernel: any Kernel

  static func all(on kernel: any Kernel) -> [FPGAManager] {
    let entries = (try? kernel.entries(of: folder)) ?? []
    return entries.map { FPGAManager(entry: $0, kernel: kernel) }
  }

  func path(_ attribute: String) -> String { "\(Self.folder)/\(entry)/\(attribute)" }

  /// `Xilinx ZynqMP FPGA Manager`
  package var name: String { (try? kernel.text(of: path("name"))) ?? "" }

  func isFor(_ family: Board.Configuration.Family) -> Bool {
    switch family {
    case .zynq7000: name.contains("Zynq ")
    case .zynqUltraScale: name.contains("ZynqMP")
    case .cycloneV: name.contains("SOCFPGA")
    }
  }

  package func state() throws(FPGAError) -> String {
    do {
      return try kernel.text(of: path("state"))
    } catch {
      throw .call(error, advice: "the state of the FPGA is not known")
    }
  }

  /// Loads a file of `/lib/firmware`; returns when the design runs.
  func load(_ name: String, byteCount: Int) throws(FPGAError) {
    do {
      // A full bitstream. The flags of the load before would stay, and are hexadecimal.
      try kernel.write("0", to: path("flags"))
    } catch {
      throw .call(error, advice: "run as root, or as a user who may write to the FPGA manager")
    }
    do {
      try kernel.write(name, to: path("firmware"))
    } catch {
      try failed(error, byteCount: byteCount)
    }
    try checkOperating(byteCount: byteCount)
  }

  /// The error of a load that the kernel refused.
  func failed(_ error: KernelError, byteCount: Int) throws(FPGAError) -> Never {
    let state = try state()
    if state.hasSuffix("error") { throw .manager(state: state, error: error, byteCount: byteCount) }
    throw .call(error, advice: "the FPGA manager is in state \"\(state)\"; run as root, and see dmesg")
  }

  func checkOperating(byteCount: Int) throws(FPGAError) {
    let state = try state()
    guard state == Self.operating else { throw .manager(state: state, error: nil, byteCount: byteCount) }
  }
}
