internal import CSystemd
internal import Glibc

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

  /// As systemd wants it of a service of `Type=notify-reload`.
  package func reloading() {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    notify("RELOADING=1\nMONOTONIC_USEC=\(Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)")
  }

  package func reloaded() { notify("READY=1") }

  private func notify(_ state: String) {
    // There is nothing to be done about a manager that can't be reached.
    _ = sd_notify(0, state)
  }
}
