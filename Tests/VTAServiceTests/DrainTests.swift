import Foundation
import Synchronization
import Testing
import VTAModule

@testable import VTAService

@Suite struct DrainTests {
  /// A call that runs when the daemon is told to stop gets its answer; then the daemon ends.
  @Test func runningCallsFinish() async throws {
    let folder = try TemporaryFolder()
    let values = (0..<240_000).map { Float($0 % 100) / 4 }
    try await withDaemon(on: folder.path("s")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        try await client.submit(TinyModule.file(), as: "m")
        async let running = client.infer("m", inputs: ["x": TinyModule.input(values)])
        // Waits in the device's queue while the first one runs.
        async let waiting = client.infer("m", inputs: ["x": TinyModule.input(values)])
        try await eventually {
          daemon.counters.running.load(ordering: .relaxed) == 2
            || daemon.counters.inferences.load(ordering: .relaxed) > 0
        }
        await daemon.stop()
        let expected = TinyModule.input(TinyModule.expected(values))
        #expect(try await running.outputs[0].tensor == expected)
        #expect(try await waiting.outputs[0].tensor == expected)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path("s")))
  }
}
