/// What a daemon says about itself.
package struct DaemonStatus: Hashable, Sendable {
  package struct Device: Hashable, Sendable {
    package let name: String
    package let kind: String
    /// `nil`: it takes on the target of each model.
    package let target: String?
    package let state: String
    package let note: String?
    /// A request that comes now is answered, if only by the simulator.
    package let isServing: Bool
    /// Resets after failures, since the start.
    package let recoveries: UInt64
    /// `nil`: a simulator.
    package let hardware: Hardware?
    /// Of the accelerator's semantics and sizes; `nil`: those of each model.
    package let profile: String?
    package let configuration: String?
    /// Failures of the hardware since the start, and the last one.
    package let faults: UInt64
    package let lastFault: String?
    /// It gets no more requests.
    package let isDrained: Bool
    /// That wait for it or run.
    package let requests: UInt32
  }

  package struct Hardware: Hashable, Sendable {
    package let board: String
    package let registers: String
    package let memory: String
    /// `nil`: only the kernel knows.
    package let memoryBytes: UInt64?
    package let coherency: String
    package let coherencyReason: String
  }

  package let version: String
  package let pid: UInt32
  package let uptimeSeconds: UInt64
  /// The model directory has been read.
  package let isReady: Bool
  package let devices: [Device]
  package let modelsReady: UInt32
  package let modelsUnavailable: UInt32
  /// Of all clients.
  package let modelsPrivate: UInt32
  package let connections: UInt32
  package let inferences: UInt64
  package let modelDirectory: String?

  init(_ message: Vta_V1_StatusResponse) {
    version = message.version
    pid = message.pid
    uptimeSeconds = message.uptimeSeconds
    isReady = message.ready
    devices = message.devices.map(Device.init)
    modelsReady = message.modelsReady
    modelsUnavailable = message.modelsUnavailable
    modelsPrivate = message.modelsPrivate
    connections = message.connections
    inferences = message.inferences
    modelDirectory = message.modelDirectory.isEmpty ? nil : message.modelDirectory
  }
}

extension DaemonStatus.Device {
  init(_ message: Vta_V1_Device) {
    name = message.name
    kind = message.kind
    target = message.target.isEmpty ? nil : message.target
    state = message.state
    note = message.note.isEmpty ? nil : message.note
    isServing = message.serving
    recoveries = message.recoveries
    hardware = message.hasHardware ? DaemonStatus.Hardware(message.hardware) : nil
    profile = message.profile.isEmpty ? nil : message.profile
    configuration = message.configuration.isEmpty ? nil : message.configuration
    faults = message.faults
    lastFault = message.lastFault.isEmpty ? nil : message.lastFault
    isDrained = message.drained
    requests = message.requests
  }
}

extension DaemonStatus.Hardware {
  init(_ message: Vta_V1_Hardware) {
    board = message.board
    registers = message.registers
    memory = message.memory
    memoryBytes = message.memoryBytes == 0 ? nil : message.memoryBytes
    coherency = message.coherency
    coherencyReason = message.coherencyReason
  }
}

/// A model that a daemon has, or could not load.
package struct ModelListing: Hashable, Sendable {
  package let name: String
  package let version: String
  /// READY or UNAVAILABLE
  package let state: String
  /// Why it is not READY; else empty.
  package let reason: String
}

/// What a model has done since it was first served.
package struct ModelActivity: Hashable, Sendable {
  package let name: String
  package let version: String
  package let answered: UInt64
  package let failed: UInt64
  /// Of all answered requests together, from arrival to answer.
  package let seconds: Double
  package let queueSeconds: Double
  package let computeSeconds: Double
  package let memoryBytes: UInt64

  init(_ message: Inference_ModelStatistics) {
    let stats = message.inferenceStats
    name = message.name
    version = message.version
    answered = stats.success.count
    failed = stats.fail.count
    seconds = Double(stats.success.ns) / 1e9
    queueSeconds = Double(stats.queue.ns) / 1e9
    computeSeconds = Double(stats.computeInfer.ns) / 1e9
    memoryBytes = message.memoryUsage.reduce(0) { $0 + $1.byteSize }
  }
}
