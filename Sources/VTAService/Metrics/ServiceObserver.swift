internal import Foundation
internal import Synchronization
internal import VTA
internal import VTAModule
internal import VTARuntime

/// Looks at the daemon from outside: for its metrics and its page. Tells nothing of who its clients are.
struct ServiceObserver: Sendable {
  let core: InferenceProtocol
  let connections: ConnectionRegistry
  let started: ContinuousClock.Instant

  /// What the page shows.
  struct Report: Sendable {
    let isReady: Bool
    let uptimeSeconds: Double
    let devices: [DeviceDescription]
    let models: [ServedModel]
    let unavailable: [IndexEntry]
    let connections: Int
    let running: Int
    /// Of these, that wait for a device.
    let waiting: Int
    /// Numbers of devices that get no more requests.
    let drained: Set<Int>
    let inferences: UInt64
    let failures: [ServiceCounters.Failure]
  }

  func report() async -> Report {
    Report(
      isReady: await core.isReady, uptimeSeconds: (ContinuousClock.now - started) / .seconds(1),
      devices: core.devices, models: await core.models.served(),
      unavailable: await core.models.unavailable(), connections: connections.count,
      running: core.counters.running.load(ordering: .relaxed),
      waiting: core.dispatcher.load.waiting, drained: core.dispatcher.drained,
      inferences: core.counters.inferences.load(ordering: .relaxed),
      failures: core.counters.failures.last)
  }

  /// In Prometheus' text format.
  func metrics() async -> String {
    let report = await report()
    var text = MetricsText()
    text.gauge("vtad_ready", "1 if new requests can be answered.", report.isReady ? 1 : 0)
    text.gauge("vtad_build_info", "The version that runs.", [(["version": Version.text], 1)])
    text.gauge(
      "vtad_device_up", "1 if the device can run models.",
      report.devices.map { (["device": $0.name, "kind": $0.kind.rawValue], $0.isServing ? 1 : 0) })
    text.gauge("vtad_connections", "Open connections.", Double(report.connections))
    text.gauge("vtad_queue_requests", "Requests that wait for a device.", Double(report.waiting))
    text.gauge("vtad_requests_in_flight", "Inference requests that wait or run.", Double(report.running))
    text.gauge(
      "vtad_models", "Versions of models of the model folder.",
      [
        (["state": "ready"], Double(report.models.count)),
        (["state": "unavailable"], Double(report.unavailable.count)),
      ])
    text.counter(
      "vtad_inference_failures_total", "Inference requests that were refused or failed, by reason.",
      core.counters.failures.counts.map { (["reason": $0.label], Double($1)) })
    let models = report.models.map { (["model": $0.name, "version": $0.version], $0.record.values) }
    text.counter(
      "vtad_inference_requests_total", "Inference requests that were answered or failed.",
      models.flatMap { labels, values in
        [
          (labels.merging(["outcome": "success"]) { $1 }, Double(values.success.count)),
          (labels.merging(["outcome": "failure"]) { $1 }, Double(values.failure.count)),
        ]
      })
    text.counter(
      "vtad_inference_samples_total", "Samples of answered requests.", models.map { ($0, Double($1.samples)) }
    )
    text.histogram(
      "vtad_inference_duration_seconds", "From a request's arrival to its answer.",
      models.map { ($0, $1.duration) })
    text.histogram(
      "vtad_inference_queue_seconds", "What answered requests waited for a device.",
      models.map { ($0, $1.queueDuration) })
    text.counter(
      "vtad_inference_compute_seconds_total", "What answered requests ran, host steps included.",
      models.map { ($0, Double($1.compute.nanoseconds) / 1e9) })
    text.gauge(
      "vtad_model_memory_bytes", "Device memory of a model.",
      report.models.map { (["model": $0.name, "version": $0.version], Double($0.instances.memoryByteCount)) })
    text.process()
    return text.text
  }
}

extension ServiceObserver.Report {
  var json: [String: Any] {
    [
      "version": Version.text, "ready": isReady, "uptime_seconds": uptimeSeconds.rounded(),
      "connections": connections, "running": running, "waiting": waiting, "inferences": inferences,
      "devices": devices.enumerated().map { number, device in
        [
          "name": device.name, "kind": device.kind.rawValue, "target": device.target?.description ?? "",
          "state": device.state.description, "note": device.note ?? "", "drained": drained.contains(number),
        ] as [String: Any]
      },
      "models": models.map { Self.json(of: $0) },
      "unavailable": unavailable.map { ["name": $0.name, "version": $0.version, "reason": $0.reason ?? ""] },
      "failures": failures.reversed().map { failure in
        [
          "time": failure.time, "reason": failure.kind.label, "model": failure.model,
          "sentence": failure.sentence,
        ] as [String: Any]
      },
    ]
  }

  private static func json(of model: ServedModel) -> [String: Any] {
    let values = model.record.values
    let milliseconds = { (share: Double) -> Any in
      guard let bound = values.duration.bound(of: share), bound.isFinite else { return NSNull() }
      return bound * 1000
    }
    return [
      "name": model.name, "version": model.version, "answered": values.success.count,
      "failed": values.failure.count, "samples": values.samples,
      "seconds": Double(values.success.nanoseconds) / 1e9,
      "queue_seconds": Double(values.queue.nanoseconds) / 1e9,
      "p50_ms": milliseconds(0.5), "p99_ms": milliseconds(0.99),
      "memory_bytes": model.instances.memoryByteCount,
    ]
  }
}
