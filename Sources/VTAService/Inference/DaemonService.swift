internal import GRPCCore
internal import Glibc
internal import SwiftProtobuf
internal import Synchronization
internal import VTA
internal import VTAModule
internal import VTARuntime

/// `vta.v1`: what the daemon says about itself.
struct DaemonService: Vta_V1_Daemon.SimpleServiceProtocol {
  let models: ModelStore
  let dispatcher: Dispatcher
  let connections: ConnectionRegistry
  let counters: ServiceCounters
  let modelDirectory: String
  let started: ContinuousClock.Instant

  func status(
    request: Vta_V1_StatusRequest, context: ServerContext
  ) async throws -> Vta_V1_StatusResponse {
    let counts = await models.counts()
    let isReady = await models.isReady
    return .with {
      $0.version = Version.text
      $0.pid = UInt32(getpid())
      $0.uptimeSeconds = UInt64((ContinuousClock.now - started).components.seconds)
      $0.ready = isReady
      $0.devices = dispatcher.devices.map { Self.message($0.description) }
      $0.modelsReady = UInt32(counts.ready)
      $0.modelsUnavailable = UInt32(counts.unavailable)
      $0.modelsPrivate = UInt32(counts.submitted)
      $0.connections = UInt32(connections.count)
      $0.inferences = counters.inferences.load(ordering: .relaxed)
      $0.modelDirectory = modelDirectory
    }
  }

  private static func message(_ device: DeviceDescription) -> Vta_V1_Device {
    .with {
      $0.name = device.name
      $0.kind = device.kind.rawValue
      $0.target = device.target?.description ?? ""
      $0.state = "\(device.state)"
      $0.note = device.note ?? ""
      $0.serving = device.isServing
      $0.recoveries = device.recoveries
      if let hardware = device.hardware {
        $0.hardware = .with {
          $0.board = hardware.board
          $0.registers = hardware.registers
          $0.memory = hardware.memory
          $0.memoryBytes = hardware.memoryBytes ?? 0
          $0.coherency = hardware.coherency.rawValue
          $0.coherencyReason = hardware.coherencyReason
        }
      }
    }
  }
}
