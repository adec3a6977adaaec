/// Why a cable, a chain or a device did not do what it was asked for.
package enum JTAGError: Error, Equatable, CustomStringConvertible {
  case usb(USBError)
  /// The cable answered something that its protocol doesn't have.
  case cable(path: String, reason: String)
  case firmwareNeeded(path: String)
  /// Of the file for a USB-Blaster II.
  case badFirmware(reason: String)
  /// The line from the last device never changes.
  case stuckTDO(high: Bool)
  case tooManyDevices(limit: Int)
  /// - Parameter devices: what the chain shows, in one line.
  case unknownInstructionLength(devices: String)
  case instructionLengths(expected: Int, found: Int)
  /// An instruction register did not begin with the pattern 01 that IEEE 1149.1 demands.
  case badCapture(position: Int, bits: UInt64)
  case notInChain(device: String, devices: String)
  case ambiguous(device: String, positions: [Int])
  case wrongPart(file: String, device: String, idcode: UInt32)
  case wrongFormat(device: String, needs: String)
  case hidden(device: String)
  case notCleared(device: String)
  case notConfigured(device: String, status: String)
  case interrupted(bytes: Int, total: Int)

  package var description: String {
    switch self {
    case .usb(let error): error.description
    case .cable(let path, let reason): "cable \(path): \(reason); plug the cable in again"
    case .firmwareNeeded(let path):
      "cable \(path): this USB-Blaster II has no firmware yet; name Intel's blaster_6810.hex (in quartus/linux64) with --firmware"
    case .badFirmware(let reason): "firmware: \(reason); use Intel's blaster_6810.hex"
    case .stuckTDO(let high):
      high
        ? "chain: TDO stays high, so no device answers; switch the board on, check that the cable sits"
        : "chain: TDO stays low; check the board's power, the cable and its reference voltage"
    case .tooManyDevices(let limit):
      "chain: more than \(limit) devices answer, so the line is disturbed; lower --frequency"
    case .unknownInstructionLength(let devices):
      "chain: the instruction lengths of several devices are unknown (\(devices)), so none can be addressed; take the unknown devices out of the chain"
    case .instructionLengths(let expected, let found):
      "chain: its instruction registers have \(found) bits, the devices shown have \(expected); lower --frequency, scan again"
    case .badCapture(let position, let bits):
      "chain: device \(position) answered an instruction with \(String(bits, radix: 2)), which does not end in 01; the connection is disturbed: lower --frequency, check the cable"
    case .notInChain(let device, let devices):
      "chain: there is no \(device) in it, but \(devices); connect the board, or name the right one with --board"
    case .ambiguous(let device, let positions):
      "chain: \(device) is in it \(positions.count) times, at \(positions.map(String.init).joined(separator: ", ")); connect one board only"
    case .wrongPart(let file, let device, let idcode):
      "bitstream: it is for \(file), the device is \(device) (IDCODE \(Self.hex(idcode))); use the bitstream of this board"
    case .wrongFormat(let device, let needs): "bitstream: \(device) takes \(needs); use that file"
    case .hidden(let device):
      "chain: the FPGA part of \(device) stays hidden behind the processor's TAP; JTAG may be locked by the boot image: boot from JTAG or without secure boot"
    case .notCleared(let device):
      "\(device): its configuration memory was not cleared in time (INIT_B stays low); check the board's power, power it off and on"
    case .notConfigured(let device, let status):
      "\(device): it took the bitstream but is not configured (\(status)); check that the file is whole and for this part, lower --frequency"
    case .interrupted(let bytes, let total):
      "programming was interrupted after \(bytes) of \(total) bytes; the FPGA is not configured: program it again"
    }
  }

  package static func hex(_ idcode: UInt32) -> String {
    let digits = String(idcode, radix: 16, uppercase: true)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// Runs what talks to USB.
  static func wrap<Value>(_ body: () throws(USBError) -> Value) throws(JTAGError) -> Value {
    do { return try body() } catch { throw .usb(error) }
  }

  var usbReason: USBError.Reason? {
    if case .usb(let error) = self { error.reason } else { nil }
  }
}
