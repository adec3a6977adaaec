internal import Foundation
internal import SwiftProtobuf
package import VTAModule
package import VTARuntime

// What goes beyond the inference protocol.
extension VTAServiceClient {
  package func devices() async throws(ServiceError) -> [DaemonStatus.Device] {
    try await call(Daemon.ListDevices.self, .init()).devices.map(
      DaemonStatus.Device.init)
  }

  /// - Parameters:
  ///   - device: `nil`: all.
  ///   - timeout: How long the daemon waits for requests that are there.
  /// - Returns: How many of them are left.
  package func drain(_ device: String?, timeout: Duration) async throws(ServiceError) -> Int {
    let request = Vta_V1_DrainRequest.with {
      $0.device = device ?? ""
      $0.timeoutMs = timeout.nanoseconds / 1_000_000
    }
    return Int(try await call(Daemon.Drain.self, request).requests)
  }

  /// - Parameter device: `nil`: all.
  package func undrain(_ device: String?) async throws(ServiceError) {
    _ = try await call(Daemon.Undrain.self, .with { $0.device = device ?? "" })
  }

  package func bitstreams() async throws(ServiceError) -> (folder: String, [BitstreamListing]) {
    let list = try await call(Daemon.ListBitstreams.self, .init())
    return (list.folder, list.bitstreams.map(BitstreamListing.init))
  }

  /// - Parameters:
  ///   - file: Of the daemon's folder.
  ///   - device: `nil`: the only board.
  package func program(
    bitstream file: String, device: String?
  ) async throws(ServiceError) -> ProgrammedDevice {
    let request = Vta_V1_ProgramBitstreamRequest.with {
      $0.file = file
      $0.device = device ?? ""
    }
    let response = try await call(Daemon.ProgramBitstream.self, request)
    return ProgrammedDevice(
      device: DaemonStatus.Device(response.device), modelsReady: response.modelsReady,
      modelsUnavailable: response.modelsUnavailable)
  }

  /// Runs a model that this connection can ask for, and tells where its time went.
  /// - Parameter device: `nil`: any that can run it.
  package func profile(
    _ model: String, inputs: [String: Tensor], device: String?
  ) async throws(ServiceError) -> ProfiledAnswer {
    let request = Vta_V1_RunModuleRequest.with {
      $0.model = model
      $0.device = device ?? ""
      $0.profile = true
      $0.inputs = inputs.sorted { $0.key < $1.key }.map { name, tensor in
        .with {
          $0.name = name
          $0.datatype = tensor.dataType.rawValue
          $0.shape = tensor.shape.map(Int64.init)
          $0.contents = Data(tensor.bytes)
        }
      }
    }
    let response = try await call(Daemon.RunModule.self, request)
    return ProfiledAnswer(
      outputs: try outputs(of: response), device: response.device,
      fallback: response.fallback.isEmpty ? nil : response.fallback,
      queue: .nanoseconds(Int64(clamping: response.queueNs)), steps: response.steps.map(RunProfile.Step.init))
  }

  private func outputs(
    of response: Vta_V1_RunModuleResponse
  ) throws(ServiceError) -> [(name: String, tensor: Tensor)] {
    try outputs(
      of: .with {
        $0.outputs = response.outputs.map { tensor in
          .with {
            $0.name = tensor.name
            $0.datatype = tensor.datatype
            $0.shape = tensor.shape
          }
        }
        $0.rawOutputContents = response.outputs.map(\.contents)
      })
  }
}

/// A bitstream that a daemon knows of.
package struct BitstreamListing: Hashable, Sendable {
  /// In the daemon's folder; `nil`: it is not there.
  package let file: String?
  /// `nil`: it is in no catalogue.
  package let title: String?
  package let boards: [String]
  package let target: String?
  package let sha256: String?
  /// Why it can't be used; `nil`: it can.
  package let problem: String?

  init(_ message: Vta_V1_Bitstream) {
    file = message.file.isEmpty ? nil : message.file
    title = message.title.isEmpty ? nil : message.title
    boards = message.boards
    target = message.target.isEmpty ? nil : message.target
    sha256 = message.sha256.isEmpty ? nil : message.sha256
    problem = message.problem.isEmpty ? nil : message.problem
  }
}

package struct ProgrammedDevice: Sendable {
  package let device: DaemonStatus.Device
  package let modelsReady: UInt32
  package let modelsUnavailable: UInt32
}

/// What a daemon answered, and where the time of the run went.
package struct ProfiledAnswer: Sendable {
  package let outputs: [(name: String, tensor: Tensor)]
  package let device: String
  package let fallback: String?
  package let queue: Duration
  package let steps: [RunProfile.Step]
}

extension RunProfile.Step {
  init(_ message: Vta_V1_StepProfile) {
    self.init(
      name: message.name, isOnDevice: message.place == "device", count: Int(message.count),
      duration: .nanoseconds(Int64(clamping: message.ns)),
      layers: message.layers.map {
        RunProfile.Layer(
          name: $0.name, op: $0.op, instructions: Int(clamping: $0.instructions),
          gemmSteps: Int(clamping: $0.gemmSteps), aluSteps: Int(clamping: $0.aluSteps),
          dramBytes: Int(clamping: $0.dramBytes),
          duration: $0.hasNs ? .nanoseconds(Int64(clamping: $0.ns)) : nil)
      })
  }
}
