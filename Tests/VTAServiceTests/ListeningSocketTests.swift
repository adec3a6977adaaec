import CVTALinux
import Foundation
import Testing

@testable import VTAService

@Suite struct ListeningSocketTests {
  @Test func modeIsExact() throws {
    let folder = try TemporaryFolder()
    for mode: UInt32 in [0o600, 0o660, 0o666] {
      let socket = try ListeningSocket.create(path: folder.path("s\(mode)"), mode: mode)
      let attributes = try FileManager.default.attributesOfItem(atPath: socket.path)
      #expect(attributes[.posixPermissions] as? NSNumber == NSNumber(value: mode))
      close(socket.descriptor)
    }
  }

  @Test func secondDaemonIsRefused() throws {
    let folder = try TemporaryFolder()
    let first = try ListeningSocket.create(path: folder.path("s"), mode: 0o600)
    let error = #expect(throws: ServiceError.self) {
      try ListeningSocket.create(path: folder.path("s"), mode: 0o600)
    }
    #expect(error?.description.contains("another daemon already listens on \(first.path)") == true)
    // It was refused without harm to the first.
    let connection = vta_unix_connect(first.path)
    #expect(connection >= 0)
    close(connection)
    close(first.descriptor)
  }

  /// What a killed daemon leaves behind.
  @Test func staleSocketIsReplaced() throws {
    let folder = try TemporaryFolder()
    let killed = try ListeningSocket.create(path: folder.path("s"), mode: 0o600)
    close(killed.descriptor)
    let next = try ListeningSocket.create(path: folder.path("s"), mode: 0o600)
    // The first one's clean-up, late, finds a file that is not its own.
    killed.removeFile()
    #expect(FileManager.default.fileExists(atPath: next.path))
    next.removeFile()
    #expect(!FileManager.default.fileExists(atPath: next.path))
    close(next.descriptor)
  }

  @Test func otherFilesAreLeftAlone() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(Array("precious".utf8), to: "file")
    #expect(throws: ServiceError.self) { try ListeningSocket.create(path: file, mode: 0o600) }
    #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data("precious".utf8))
  }

  @Test(arguments: [
    ("absent/s", "does not exist"), (String(repeating: "s", count: 200), "107 bytes"),
    ("file/s", "can't open"),
  ])
  func impossiblePlacesAreExplained(_ name: String, _ words: String) throws {
    let folder = try TemporaryFolder()
    try folder.write([], to: "file")
    let path = folder.path(name)
    let error = #expect(throws: ServiceError.self) { try ListeningSocket.create(path: path, mode: 0o600) }
    #expect(error?.description.contains(words) == true)
  }
}
