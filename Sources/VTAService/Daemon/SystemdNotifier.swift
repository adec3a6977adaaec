internal import CSystemd

/// What systemd wants to hear from a service (sd_notify(3)); all of it does nothing outside systemd.
package struct SystemdNotifier: Sendable {
  /// Time between two signs of life, half of what systemd waits for; `nil` without a watchdog.
  package let watchdogInterval: Duration?

  /// Reads the environment.
  package init() {
    var microseconds: UInt64 = 0
    watchdogInterval =
      sd_watchdog_enabled(0, &microseconds) > 0 ? .microseconds(Int64(clamping: microseconds / 2)) : nil
  }

  package func ready(status: String) { notify("READY=1\nSTATUS=\(status)") }

  package func alive() { notify("WATCHDOG=1") }

  package func stopping() { notify("STOPPING=1\nSTATUS=finishing the calls that run") }

  private func notify(_ state: String) {
    // There is nothing to be done about a manager that can't be reached.
    _ = sd_notify(0, state)
  }
}
