/// Something that the board saw, in the order in which it did.
package enum BoardEvent: Equatable, Sendable {
  case open(String)
  case close(String)
  case ioctl(String, request: UInt)
  /// Of an attribute or a stored file.
  case write(String, [UInt8])
  /// Reads of one register that follow each other with the same value are one.
  case readRegister(String, Int, UInt32)
  case writeRegister(String, Int, UInt32)
  case publishMemory
  case acquireMemory
  case synchronised(String, Range<Int>, forDevice: Bool)
  case managerState(String)
  case configured(String)
}

/// The record of what happened, bounded.
final class Journal {
  private(set) var events: [BoardEvent] = []
  /// What real hardware would answer with a bus error, a hang or silent damage.
  private(set) var complaints: [String] = []
  var isRecording: Bool

  private static let eventsMax = 1 << 20
  private static let complaintsMax = 1000

  init(isRecording: Bool) { self.isRecording = isRecording }

  func note(_ event: BoardEvent) {
    guard isRecording, events.count < Self.eventsMax else { return }
    if case .readRegister = event, event == events.last { return }
    events.append(event)
  }

  func complain(_ complaint: String) {
    if complaints.count < Self.complaintsMax { complaints.append(complaint) }
  }

  func clear() { (events, complaints) = ([], []) }
}
