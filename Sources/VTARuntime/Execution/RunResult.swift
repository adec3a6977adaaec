package import VTAModule

/// What a run gave, all samples stacked along the batch axis.
package struct RunResult: Sendable {
  /// In the model's order.
  package var outputs: [(name: String, tensor: Tensor)]
  package var timings: RunTimings
  /// Every tensor of the accelerator as int8 of shape (N, C, H, W), by name; empty unless it was asked for.
  package var deviceTensors: [String: Tensor]
  /// Why the simulator gave it instead of the device; `nil`: it did not.
  package var fallback: String?
  /// Name of the device.
  package var device = ""
  /// `nil` unless it was asked for.
  package var profile: RunProfile?

  package init(
    outputs: [(name: String, tensor: Tensor)], timings: RunTimings, deviceTensors: [String: Tensor]
  ) {
    self.outputs = outputs
    self.timings = timings
    self.deviceTensors = deviceTensors
  }
}

/// Where the time of a run went.
package struct RunTimings: Hashable, Sendable {
  /// Between the call and the start on the device's thread.
  package var queue: Duration
  /// Programs on the accelerator.
  package var device: Duration
  /// Host steps, and copies into and out of device memory.
  package var host: Duration

  package init(queue: Duration = .zero, device: Duration = .zero, host: Duration = .zero) {
    self.queue = queue
    self.device = device
    self.host = host
  }
}
