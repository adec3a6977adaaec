internal import Foundation
internal import Glibc
internal import SwiftProtobuf
package import VTAModule

// What a request costs, for measurements.
extension VTAServiceClient {
  /// Where the time of one request went.
  package struct Times: Sendable {
    package let roundTrip: Duration
    /// As the daemon says.
    package let queue: Duration
    package let run: Duration

    package var overhead: Duration { roundTrip - queue - run }
  }

  /// - Parameter shared: Holds the inputs and is registered; `nil`: they go inline.
  package func time(
    _ model: String, inputs: [String: Tensor], shared: SharedInput? = nil
  ) async throws(ServiceError) -> Times {
    var request = Inference_ModelInferRequest()
    request.modelName = model
    request.parameters[InferenceProtocol.timesParameter] = .with { $0.boolParam = true }
    for (name, tensor) in inputs.sorted(by: { $0.key < $1.key }) {
      var input = Inference_ModelInferRequest.InferInputTensor()
      input.name = name
      input.datatype = tensor.dataType.rawValue
      input.shape = tensor.shape.map(Int64.init)
      if let shared, let offset = shared.offsets[name] {
        input.parameters["shared_memory_region"] = .with { $0.stringParam = shared.name }
        input.parameters["shared_memory_byte_size"] = .with { $0.int64Param = Int64(tensor.bytes.count) }
        input.parameters["shared_memory_offset"] = .with { $0.int64Param = Int64(offset) }
      } else {
        request.rawInputContents.append(Data(tensor.bytes))
      }
      request.inputs.append(input)
    }
    let started = ContinuousClock.now
    let response = try await send(request)
    let roundTrip = ContinuousClock.now - started
    let nanoseconds = { (name: String) in
      Duration.nanoseconds(Int64(clamping: response.parameters[name]?.uint64Param ?? 0))
    }
    return Times(
      roundTrip: roundTrip, queue: nanoseconds(InferenceProtocol.queueParameter),
      run: nanoseconds(InferenceProtocol.runParameter))
  }

  /// Lets the daemon see the inputs.
  package func register(_ shared: SharedInput) async throws(ServiceError) {
    try await register(region: shared.name, key: shared.name, byteCount: shared.byteCount)
  }
}

/// Inputs in a shared memory object of this process, which goes with it.
package final class SharedInput: Sendable {
  let name: String
  let offsets: [String: Int]
  let byteCount: Int

  /// - Throws: ``ServiceError`` if the object can't be made.
  package init(_ inputs: [String: Tensor]) throws(ServiceError) {
    name = "vtactl-\(getpid())-\(UInt64.random(in: 0...(.max)))"
    var bytes = Data()
    var offsets: [String: Int] = [:]
    for (input, tensor) in inputs {
      offsets[input] = bytes.count
      bytes.append(contentsOf: tensor.bytes)
    }
    self.offsets = offsets
    byteCount = bytes.count
    do {
      try bytes.write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
    } catch {
      throw ServiceError(.failedPrecondition, "shared memory can't be made: \(error)")
    }
  }

  deinit { unlink(path) }

  private var path: String { "/dev/shm/\(name)" }
}
