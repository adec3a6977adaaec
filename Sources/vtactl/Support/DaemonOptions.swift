internal import ArgumentParser
private import Foundation
internal import VTAService

/// Which daemon a command talks to.
struct DaemonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The daemon's socket; the variable VTAD_SOCKET says the same.", valueName: "path"),
    completion: .file())
  var socket: String?

  @Option(
    help: ArgumentHelp(
      "A daemon on another machine, over TLS; VTAD_HOST says the same.", valueName: "name[:port]"))
  var host: String?

  @Option(
    help: ArgumentHelp(
      "Folder of client.pem, client.key and ca.pem for --host; by default that of VTAD_CERTIFICATES, or ~/.config/vta.",
      valueName: "folder"
    ), completion: .directory)
  var certificates: String?

  @Option(
    help: ArgumentHelp("Certificate for --host, instead of the folder's client.pem.", valueName: "file"),
    completion: .file(extensions: ["pem"]))
  var cert: String?

  @Option(
    help: ArgumentHelp("Its key, instead of the folder's client.key.", valueName: "file"),
    completion: .file(extensions: ["pem", "key"]))
  var key: String?

  @Option(
    help: ArgumentHelp("Certificates that sign daemons', instead of the folder's ca.pem.", valueName: "file"),
    completion: .file(extensions: ["pem"]))
  var ca: String?

  static let socketVariable = "VTAD_SOCKET"
  static let hostVariable = "VTAD_HOST"
  static let certificatesVariable = "VTAD_CERTIFICATES"

  func validate() throws {
    if socket != nil, host != nil { throw ValidationError("--socket or --host, not both") }
    if let host, Self.split(host) == nil {
      throw ValidationError("--host \(host): name a host, or host:port")
    }
  }

  /// The one that was named, if any; options win over variables.
  private var named: DaemonAddress? {
    if let socket { return .socket(socket) }
    if let host { return remote(host) }
    let environment = ProcessInfo.processInfo.environment
    if let socket = environment[Self.socketVariable] { return .socket(socket) }
    return environment[Self.hostVariable].flatMap(remote)
  }

  var address: DaemonAddress { named ?? .socket(DaemonAddress.defaultSocket) }

  /// Whether a run goes to the daemon: always if it was named, else unless a device was named and there is no daemon.
  func isWanted(device: String?) -> Bool {
    named != nil || device == nil || isListening
  }

  var isListening: Bool { VTAServiceClient.isListening(on: address) }

  /// What the daemon answers on a connection of its own.
  func ask<Answer: Sendable>(
    _ question: @escaping @Sendable (VTAServiceClient) async throws -> Answer
  ) async throws -> Answer {
    do {
      return try await VTAServiceClient.connect(to: address, question)
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure("daemon", error)
    }
  }

  private func remote(_ text: String) -> DaemonAddress? {
    guard let (host, port) = Self.split(text) else { return nil }
    let folder =
      certificates ?? ProcessInfo.processInfo.environment[Self.certificatesVariable]
      ?? NSHomeDirectory() + "/.config/vta"
    return .host(
      host, port: port,
      .init(
        certificate: cert ?? folder + "/client.pem", key: key ?? folder + "/client.key",
        authority: ca ?? folder + "/ca.pem"))
  }

  /// `nil` if the port is no number; an address of IPv6 stands in brackets if a port follows.
  private static func split(_ text: String) -> (String, Int)? {
    if text.isEmpty { return nil }
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
      let host = String(text[text.index(after: text.startIndex)..<end])
      let rest = text[text.index(after: end)...]
      if rest.isEmpty { return (host, DaemonAddress.defaultPort) }
      return rest.hasPrefix(":") ? UInt16(rest.dropFirst()).map { (host, Int($0)) } : nil
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return (text, DaemonAddress.defaultPort) }
    return UInt16(parts[1]).map { (String(parts[0]), Int($0)) }
  }
}
