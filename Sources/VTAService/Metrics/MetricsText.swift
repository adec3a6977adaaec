internal import Foundation
internal import Glibc

/// Prometheus' text exposition format, version 0.0.4.
struct MetricsText {
  typealias Sample = (labels: [String: String], value: Double)

  private(set) var text = ""

  mutating func gauge(_ name: String, _ help: String, _ value: Double) { gauge(name, help, [([:], value)]) }

  mutating func gauge(_ name: String, _ help: String, _ samples: [Sample]) {
    family(name, "gauge", help, samples)
  }

  /// - Parameter name: Ends with `_total`.
  mutating func counter(_ name: String, _ help: String, _ samples: [Sample]) {
    family(name, "counter", help, samples)
  }

  mutating func histogram(
    _ name: String, _ help: String, _ samples: [(labels: [String: String], value: Histogram)]
  ) {
    header(name, "histogram", help)
    for (labels, histogram) in samples {
      var sum: UInt64 = 0
      for (bound, count) in zip(Histogram.bounds, histogram.counts) {
        sum += count
        line(name + "_bucket", labels.merging(["le": Self.number(bound)]) { $1 }, Double(sum))
      }
      line(name + "_bucket", labels.merging(["le": "+Inf"]) { $1 }, Double(histogram.total))
      line(name + "_sum", labels, histogram.seconds)
      line(name + "_count", labels, Double(histogram.total))
    }
  }

  /// What every exporter says of its own process.
  mutating func process() {
    var usage = rusage()
    if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
      let seconds = { (time: timeval) in Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
      counter(
        "process_cpu_seconds_total", "User and system time.",
        [([:], seconds(usage.ru_utime) + seconds(usage.ru_stime))])
    }
    if let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " "),
      pages.count > 1, let virtual = Double(pages[0]), let resident = Double(pages[1])
    {
      let size = Double(sysconf(Int32(_SC_PAGESIZE)))
      gauge("process_virtual_memory_bytes", "Address space.", virtual * size)
      gauge("process_resident_memory_bytes", "Memory in use.", resident * size)
    }
    if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
      gauge("process_open_fds", "Open descriptors.", Double(open))
    }
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      gauge("process_max_fds", "Descriptors that may be open.", Double(limit.rlim_cur))
    }
  }

  private mutating func family(_ name: String, _ type: String, _ help: String, _ samples: [Sample]) {
    header(name, type, help)
    for sample in samples { line(name, sample.labels, sample.value) }
  }

  private mutating func header(_ name: String, _ type: String, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
  }

  private mutating func line(_ name: String, _ labels: [String: String], _ value: Double) {
    let pairs = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
    text += name + (pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}") + " \(Self.number(value))\n"
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }

  /// Names of models are text of clients and file systems.
  private static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"")
      .replacingOccurrences(of: "\n", with: "\\n")
  }
}
