package import VTA

/// Why a device can't be opened, or didn't do what it was asked for.
package enum DeviceError: Error, Equatable, CustomStringConvertible {
  /// The name is none of those that exist.
  case unknownDevice(name: String)
  /// The part behind `sim:` is neither a target nor a readable configuration.
  case unusableTarget(name: String, reason: String)
  /// The part behind `simulated-board:`, or the configuration's board, is no board.
  case unknownBoard(device: String, reason: String)
  /// None of the ways to a board led to one; `reasons` says why for each.
  case noBoard(name: String, reasons: [String])
  /// Memory that is there but can't serve an accelerator.
  case memoryUnusable(name: String, reason: String)
  case selfTestFailed(reason: String)
  /// The FPGA holds no design that can be used, or could not be configured.
  case fpga(FPGAError)
  case bitstreamUnusable(reason: String)
  case threadFailed(code: Int32)
  /// A fixed device got a module for another target.
  case wrongTarget(device: Target, module: Target)
  /// The device has no implementation of this target's profile.
  case unsupportedTarget(target: Target, reason: String)
  case outOfMemory(requested: UInt64, reason: String)
  case badAccess(address: DeviceAddress, byteCount: UInt64, reason: String)
  case runFailed(reason: String)
  /// The accelerator did not finish a program in many times the time that it can take.
  case stalled(StallReport)
  /// Its registers don't answer as registers do.
  case unresponsive(reason: String)
  case deadlineExceeded
  /// The device is out of service.
  case failed(reason: String)
  case closed

  package var description: String {
    switch self {
    case .unknownDevice(let name):
      "the device \(name) doesn't exist; use auto, uio:NAME, mem:ADDRESS, sim, sim:TARGET (\(Self.targetNames)), "
        + "sim:FILE.json or simulated-board:BOARD"
    case .unusableTarget(let name, let reason):
      "the device \(name) can't be opened: \(reason); use sim:TARGET (\(Self.targetNames)) or sim:FILE.json"
    case .unknownBoard(let device, let reason): "the device \(device) can't be opened: \(reason)"
    case .noBoard(let name, let reasons):
      "the device \(name) can't be opened: \(reasons.joined(separator: "; ")); see vtactl doctor"
    case .memoryUnusable(let name, let reason): "\(name) can't be the accelerator's memory: \(reason)"
    case .fpga(let error): error.description
    case .bitstreamUnusable(let reason): "the bitstream can't be used: \(reason)"
    case .selfTestFailed(let reason): "the device failed its self-test: \(reason)"
    case .threadFailed(let code):
      "the system gave no thread for the device (error \(code)); stop other programs or raise the limit"
    case .wrongTarget(let device, let module):
      "the module is compiled for \(module.description), but the device is \(device.description); compile it for this target"
    case .unsupportedTarget(let target, let reason):
      "the device can't run modules for \(target.description): \(reason)"
    case .outOfMemory(let requested, let reason):
      "the device has no memory for \(requested) bytes more (\(reason)); unload a model"
    case .badAccess(let address, let byteCount, let reason):
      "\(byteCount) bytes at device address \(address) can't be accessed: \(reason)"
    case .runFailed(let reason): "the run failed on the device: \(reason)"
    case .stalled(let report): "the accelerator stopped in the middle of a run: \(report)"
    case .unresponsive(let reason): "the accelerator does not answer: \(reason)"
    case .deadlineExceeded: "the deadline passed before the run was done; allow more time"
    case .failed(let reason): "the device is out of service: \(reason)"
    case .closed: "the device is closed"
    }
  }

  private static var targetNames: String { Target.named.map(\.name).joined(separator: ", ") }
}
