internal import VTAModule
internal import VTAService

/// Runs on a daemon, as a private model of one connection.
struct DaemonRunner: ModelRunner {
  private let client: VTAServiceClient
  private let model: String
  let device: String
  let place: String
  let note: String?

  /// Submits a file, and calls `body` with it; the daemon forgets the model when `body` returns.
  ///
  /// - Throws: ``Failure`` if the daemon can't be reached, refuses the file, or drives another device.
  static func withModel(
    _ file: [UInt8], digest: String, device: String?, address: DaemonAddress,
    _ body: @escaping @Sendable (DaemonRunner) async throws -> Void
  ) async throws {
    do {
      try await VTAServiceClient.connect(to: address) { client in
        let devices = try await client.status().devices
        let isAny = device == nil || device == "auto"
        guard let used = devices.first(where: { isAny || device == $0.name }) else {
          let names = devices.map(\.name).joined(separator: ", ")
          throw Failure.usage(
            "--device \(device ?? "")",
            "the daemon at \(address) drives \(names); name that, or add --in-process")
        }
        let model = "private-\(digest)"
        try await client.submit(file, as: model)
        try await body(
          DaemonRunner(
            client: client, model: model, device: used.name, place: "daemon at \(address)", note: used.note))
      }
    } catch let failure as Failure {
      throw failure
    } catch let error as ServiceError where error.kind == .unavailable {
      throw Failure("daemon", "\(error), or run with --in-process")
    } catch {
      throw Failure("daemon", error)
    }
  }

  func profile(_ inputs: [String: Tensor]) async throws -> ProfileReport {
    ProfileReport(
      try await client.profile(model, inputs: inputs, device: device).steps.map(ProfileReport.Step.init))
  }

  func run(_ inputs: [String: Tensor], dumpTensors: Bool) async throws -> RunOutcome {
    let answer = try await client.infer(model, inputs: inputs)
    return RunOutcome(outputs: answer.outputs, deviceTensors: [], fallback: answer.fallback)
  }
}
