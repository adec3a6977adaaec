internal import SystemPackage

/// Why an FPGA was not configured, or can't be used.
package enum FPGAError: Error, Equatable, CustomStringConvertible {
  /// Nothing was begun.
  case unfit(BitstreamError)
  /// Nothing was begun.
  case noRoute(board: String, reasons: [String])
  /// Nothing was begun.
  case noHeadroom(needed: Int, free: UInt64)
  /// Nothing was begun.
  case firmwareNotPlaced(KernelError)
  /// A call of the kernel's failed, outside the states of the manager.
  case call(KernelError, advice: String)
  /// The manager gave up in `state`.
  case manager(state: String, error: KernelError?, byteCount: Int)
  case overlayRejected(status: String)
  case badMSEL(UInt32)
  case compressedWithoutDecompression(msel: UInt32)
  /// The registers of the FPGA manager did not say what they must within a second.
  case timeout(waitingFor: String)
  case notConfigured(board: String, state: String)
  case bridgeClosed(name: String, state: String)

  package var description: String {
    switch self {
    case .unfit(let error): error.description
    case .noRoute(let board, let reasons):
      "there is no way to load a bitstream on this \(board): \(reasons.joined(separator: "; ")); use a kernel with one of them, or let the boot loader load it"
    case .noHeadroom(let needed, let free):
      "loading the bitstream takes \(needed) bytes of contiguous memory in one piece, but CMA has \(free) free; unload models or boot with a larger cma="
    case .firmwareNotPlaced(let error):
      "the bitstream can't be put where the kernel looks for it: \(error); run as root, or as a user who may write to /lib/firmware"
    case .call(let error, let advice): "\(error); \(advice)"
    case .manager(let state, let error, let byteCount):
      "the FPGA manager gave up in state \"\(state)\"\(error.map { " (\($0))" } ?? ""): \(Self.advice(state, error, byteCount))"
    case .overlayRejected(let status):
      "the kernel did not apply the device tree overlay (status \(status)); dmesg says why"
    case .badMSEL(let msel):
      "the switches MSEL are \(Self.binary(msel)), with which the processor can't configure the FPGA; set them to 01010"
    case .compressedWithoutDecompression(let msel):
      "the file is compressed, but the switches MSEL are \(Self.binary(msel)), with which the FPGA takes uncompressed files alone; set them to 01010"
    case .timeout(let what):
      "the FPGA manager waited in vain for \(what); check that the file is for this FPGA and that MSEL fits it (01010 for compressed files)"
    case .notConfigured(let board, let state):
      "the FPGA of this \(board) holds no design (state \"\(state)\"); load one with vtactl bitstream program"
    case .bridgeClosed(let name, let state):
      "the bridge \(name) is \(state), so that the accelerator can't be reached; enable it in the device tree (status = \"okay\"; bridge-enable = <1>) or in U-Boot (bridge enable)"
    }
  }

  /// MSEL as it stands on the board.
  static func binary(_ msel: UInt32) -> String {
    let digits = String(msel, radix: 2)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// What is known to lead to each state (linux: drivers/fpga/fpga-mgr.c and the drivers below it).
  private static func advice(_ state: String, _ error: KernelError?, _ byteCount: Int) -> String {
    switch state {
    case "firmware request error":
      "it found no such file; check that /lib/firmware is where this kernel looks (/sys/module/firmware_class/parameters/path) and that the daemon sees the same one"
    case "write init error":
      "the FPGA did not get ready, or the driver refused the file's start; check that the file is for this FPGA, that nothing else holds the FPGA, and on Cyclone V the switches MSEL (01010)"
    case "write error" where error?.code == .noMemory:
      "it takes \(byteCount) bytes of contiguous memory in one piece; unload models or boot with a larger cma="
    case "write error":
      "the FPGA refused the data; check that the file is whole, for this FPGA and not encrypted"
    case "write complete error":
      "all data was taken, but the FPGA did not start; check that the file is for this FPGA, and on Cyclone V that MSEL fits it (01010 for compressed files)"
    case "unknown", "power off", "reset":
      "the FPGA is not configured although no error was reported; load the bitstream again, and see dmesg"
    default: "see dmesg, and load the bitstream again"
    }
  }
}
