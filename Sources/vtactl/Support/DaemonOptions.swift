internal import ArgumentParser
private import Foundation
internal import VTAService

/// Which daemon a command talks to.
struct DaemonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The daemon's socket; the variable VTAD_SOCKET says the same.", valueName: "path"))
  var socket: String?

  private var named: String? {
    socket ?? ProcessInfo.processInfo.environment[VTAServiceClient.socketVariable]
  }

  var socketPath: String { named ?? VTAServiceClient.defaultSocket }

  /// Whether a run goes to the daemon: always if its socket was named, else unless a device was named and there is
  /// no daemon.
  func isWanted(device: String?) -> Bool {
    named != nil || device == nil || isListening
  }

  var isListening: Bool { VTAServiceClient.isListening(on: socketPath) }

  /// What the daemon answers on a connection of its own.
  func ask<Answer: Sendable>(
    _ question: @escaping @Sendable (VTAServiceClient) async throws -> Answer
  ) async throws -> Answer {
    do {
      return try await VTAServiceClient.connect(to: socketPath, question)
    } catch {
      throw Failure("daemon", error)
    }
  }
}
