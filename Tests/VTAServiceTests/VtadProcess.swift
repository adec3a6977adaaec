import CVTALinux
import Foundation
import Synchronization

/// The program itself, built beside the tests.
// SAFETY: a test asks it one question at a time.
final class VtadProcess: @unchecked Sendable {
  let process = Process()
  private let output = Pipe()
  private let errors = CollectedOutput()

  static var executable: String {
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("vtad")
      .path
  }

  /// - Parameters:
  ///   - shell: Runs this shell text, in which `"$@"` is the program with its arguments, instead of the program alone.
  ///   - input: Standard input.
  init(
    _ arguments: [String], environment: [String: String] = [:], shell: String? = nil, input: FileHandle? = nil
  ) throws {
    let command = [Self.executable] + arguments
    if let shell {
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", shell, "sh"] + command
    } else {
      process.executableURL = URL(fileURLWithPath: command[0])
      process.arguments = arguments
    }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = input ?? FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors.pipe
    try process.run()
    errors.collect()
  }

  deinit {
    if process.isRunning { process.terminate() }
  }

  /// The first line that it prints; empty if it ends without one.
  func firstLine() -> String {
    var line: [UInt8] = []
    while let byte = output.fileHandleForReading.readData(ofLength: 1).first, byte != UInt8(ascii: "\n") {
      line.append(byte)
    }
    return String(decoding: line, as: UTF8.self)
  }

  /// Waits until its standard error contains a text.
  ///
  /// - Returns: `false` if it ended without.
  func says(_ text: String) async -> Bool { await errors.contains(text) }

  /// Exit code and everything on standard error, when it has ended.
  func end() -> (code: Int32, errors: String) {
    let text = errors.all()
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }
}

/// A pipe that a thread reads as it fills, so that its writer never waits for a test that looks later.
private final class CollectedOutput: Sendable {
  private struct State {
    var text: [UInt8] = []
    var isComplete = false
    var waiting: [(text: String, answer: CheckedContinuation<Bool, Never>)] = []
  }

  let pipe = Pipe()
  private let state = Mutex(State())
  private let completion = DispatchGroup()

  /// Begins, once, when the writer has its end.
  func collect() {
    completion.enter()
    let reader = pipe.fileHandleForReading
    Thread.detachNewThread { [self] in
      while case let bytes = reader.availableData, !bytes.isEmpty {
        change { $0.text += bytes }
      }
      change { $0.isComplete = true }
      completion.leave()
    }
  }

  /// Whether a text is in it: at once if it is, and otherwise when it comes or the end does.
  func contains(_ text: String) async -> Bool {
    await withCheckedContinuation { answer in change { $0.waiting.append((text, answer)) } }
  }

  /// Everything, when the writer has ended.
  func all() -> String {
    completion.wait()
    return state.withLock { String(decoding: $0.text, as: UTF8.self) }
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { state in
      body(&state)
      let (text, isComplete) = (String(decoding: state.text, as: UTF8.self), state.isComplete)
      state.waiting.removeAll { waiting in
        let isThere = text.contains(waiting.text)
        if isThere || isComplete { waiting.answer.resume(returning: isThere) }
        return isThere || isComplete
      }
    }
  }
}

/// What systemd listens on (sd_notify(3)).
final class FakeManager {
  let path: String
  private let descriptor: Int32

  init(path: String) throws {
    self.path = path
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
  }

  deinit { close(descriptor) }

  /// The next message, as its assignments.
  func next() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: "\n").map(
      String.init)
  }

  func wait(for assignment: String) {
    while !next().contains(assignment) {}
  }
}
