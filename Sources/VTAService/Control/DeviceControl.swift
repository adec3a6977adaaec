internal import Logging
internal import SwiftProtobuf
internal import VTA
internal import VTARuntime

/// The devices as an operator sees them: what they are and suffered, and whether they get requests.
struct DeviceControl: Sendable {
  /// Between two looks at what a device still has to do.
  private static let interval = Duration.milliseconds(5)
  private static let timeoutMax: UInt64 = 86_400_000

  let dispatcher: Dispatcher
  let logger: Logger

  var messages: [Vta_V1_Device] { dispatcher.devices.indices.map(message) }

  func message(of number: Int) -> Vta_V1_Device {
    let device = dispatcher.devices[number].description
    return .with {
      $0.name = device.name
      $0.kind = device.kind.rawValue
      $0.target = device.target?.description ?? ""
      $0.profile = device.target?.profile.name ?? ""
      $0.configuration = device.target?.configuration.name ?? ""
      $0.state = "\(device.state)"
      $0.note = device.note ?? ""
      $0.serving = device.isServing
      $0.recoveries = device.recoveries
      $0.faults = device.faults
      $0.lastFault = device.lastFault ?? ""
      $0.drained = dispatcher.drained.contains(number)
      $0.requests = UInt32(clamping: dispatcher.requests(on: [number]))
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

  /// - Throws: ``ServiceError``; `CancellationError` if the client leaves. The devices stay drained then.
  func drain(_ request: Vta_V1_DrainRequest, for caller: Caller) async throws -> Vta_V1_DrainResponse {
    try caller.require(.administer, to: "drain devices")
    let numbers = try dispatcher.numbers(named: request.device)
    logger.notice("drain", metadata: ["device": "\(names(numbers))", "caller": .stringConvertible(caller)])
    dispatcher.set(devices: numbers, drained: true)
    let end = ContinuousClock.now + .milliseconds(Int64(min(request.timeoutMs, Self.timeoutMax)))
    while dispatcher.requests(on: numbers) > 0, ContinuousClock.now < end {
      try await Task.sleep(for: Self.interval)
    }
    let left = dispatcher.requests(on: numbers)
    return .with { $0.requests = UInt32(clamping: left) }
  }

  func undrain(_ request: Vta_V1_UndrainRequest, for caller: Caller) throws -> Vta_V1_UndrainResponse {
    try caller.require(.administer, to: "undrain devices")
    let numbers = try dispatcher.numbers(named: request.device)
    logger.notice("undrain", metadata: ["device": "\(names(numbers))", "caller": .stringConvertible(caller)])
    dispatcher.set(devices: numbers, drained: false)
    return .init()
  }

  private func names(_ numbers: Set<Int>) -> String {
    numbers.sorted().map { dispatcher.devices[$0].description.name }.joined(separator: ",")
  }
}

extension Dispatcher {
  /// All devices of a name; two simulators have the same one.
  /// - Parameter name: Empty: all devices.
  /// - Throws: `notFound`, with the names that there are.
  func numbers(named name: String) throws(ServiceError) -> Set<Int> {
    let numbers = devices.indices.filter { name.isEmpty || devices[$0].description.name == name }
    guard !numbers.isEmpty else {
      let known = Set(devices.map(\.description.name)).sorted().joined(separator: ", ")
      throw ServiceError(.notFound, "the daemon has no device '\(name.prefix(200))', but \(known)")
    }
    return Set(numbers)
  }
}
