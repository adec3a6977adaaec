internal import Configuration
internal import Foundation
package import Logging
internal import SystemPackage
internal import VTAModule
package import VTARuntime

/// What the operator decides. Every key is a row of ``keys``: name, default and documentation are nowhere else.
package struct DaemonConfiguration: Sendable {
  package let socket: String
  package let socketMode: UInt32
  package let device: String
  /// How the device is opened.
  package let deviceOptions: DeviceOptions
  /// `nil`: models come only from clients.
  package let models: String?
  /// Folder of files that an administrator may configure an FPGA with.
  package let bitstreams: String
  package let maximumMessageBytes: Int
  /// `nil`: none.
  package let runDeadline: Duration?
  package let drainLimit: Duration
  package let logLevel: Logger.Level
  /// Empty: whoever can connect.
  package let inferGroup: String
  /// Empty: root and the daemon's own user alone.
  package let adminGroup: String
  package let quota: UserQuota
  package let queue: Queue
  package let signatures: SignaturePolicy
  package let http: HTTP
  package let tcp: TCP

  /// What may wait for the devices, of all users.
  package struct Queue: Hashable, Sendable {
    package let requests: Int
    package let bytes: Int
  }

  /// The two exceptions from "nothing without identity", both on the loopback interface alone.
  package struct HTTP: Hashable, Sendable {
    /// `nil`: off.
    package let port: Int?
    package let isInferenceOpen: Bool
  }

  /// What other machines connect to, with certificates on both sides.
  package struct TCP: Hashable, Sendable {
    package let address: String
    /// `nil`: off.
    package let grpcPort: Int?
    package let httpPort: Int?
    package let certificate: String
    package let key: String
    package let clientCertificates: String
    /// By common name; `*` is any certificate.
    package var roles: [String: Role]

    var withoutRoles: TCP {
      var copy = self
      copy.roles = [:]
      return copy
    }
  }

  package struct Key: Sendable {
    package enum Default: Sendable {
      case text(String)
      case number(Int)
      case flag(Bool)
    }

    package let name: String
    package let `default`: Default
    package let documentation: String

    init(_ name: String, _ default: Default, _ documentation: String) {
      self.name = name
      self.default = `default`
      self.documentation = documentation
    }
  }

  /// What gRPC's own clients can send and receive.
  static let messageBytesMax = Int(Int32.max)

  package static let keys = [
    Key("socket", .text("/run/vtad/vtad.sock"), "Unix socket to listen on. Ignored when systemd passes one."),
    Key(
      "socket_mode", .text("0660"), "Permissions of that socket, octal: who may connect may use the device."),
    Key(
      "device", .text("auto"),
      "auto, uio:NAME, mem:ADDRESS, sim, sim:TARGET, sim:FILE.json or simulated-board:BOARD; auto without a board is sim. Several, separated by commas."
    ),
    Key(
      "require_hardware", .flag(false), "Fail instead of serving on the simulator."),
    Key("board", .text(""), "Name of the board or FILE.json; empty: the device tree says it."),
    Key(
      "target", .text(""),
      "What the board's FPGA is configured as, a target or FILE.json; empty: what the board's bitstream usually is."
    ),
    Key(
      "memory", .text("auto"),
      "Contiguous memory for the board: \(MemoryChoice.names)."),
    Key(
      "bitstream", .text(""),
      "File to configure the board's FPGA with, at the start and to recover it; empty: left as it is."),
    Key(
      "on_failure", .text(DeviceOptions.OnFailure.error.rawValue),
      "What a request gets that the board failed twice: error, or simulator (the answer says so)."),
    Key(
      "stall_seconds", .number(2),
      "Time beyond the longest that a program can take on the board, after which it is reset."),
    Key(
      "simulator_threads", .number(0), "Cores that a run on the simulator may use, up to 64. 0: all of them."),
    Key(
      "models", .text(""), "Folder of NAME.vtab or NAME/VERSION/model.vtab; empty: clients' own only."
    ),
    Key(
      "bitstreams", .text(BitstreamFolder.standard),
      "Folder of bitstreams that administrators may load while the daemon runs (vtactl bitstream program --daemon)."
    ),
    Key(
      "max_message_bytes", .number(messageBytesMax),
      "Largest request that is accepted, model files included."),
    Key(
      "run_deadline_seconds", .number(60),
      "Longest time for one inference, waiting included. 0: no limit."),
    Key("drain_seconds", .number(30), "Time for running calls to finish after SIGTERM."),
    Key("log_level", .text("info"), "trace, debug, info, notice, warning, error or critical."),
    Key(
      "infer_group", .text(""),
      "Group whose members may run models; empty: whoever may connect to the socket."),
    Key(
      "admin_group", .text(""),
      "Group whose members may change what everybody is served; root and the daemon's own user always may."),
    Key("quota.models", .number(64), "Models that one user may have submitted at the same time."),
    Key(
      "quota.model_bytes", .number(0), "Device memory that these may take together. 0: as much as there is."),
    Key("quota.connections", .number(512), "Connections that one user may have open."),
    Key("quota.requests", .number(128), "Requests of one user that may wait or run."),
    Key(
      "quota.request_bytes", .number(1 << 30),
      "Memory that these may take, from their arrival on. A user's only request may take as much as max_message_bytes."
    ),
    Key(
      "modules.require_signature", .flag(false),
      "Refuse modules that are not signed by one of the next key's (vtactl sign)."),
    Key(
      "modules.keys", .text(""), "Ed25519 public keys, 64 hexadecimal digits each, separated by commas."),
    Key("queue.requests", .number(1024), "Requests that may wait for the devices, of all users."),
    Key("queue.bytes", .number(1 << 30), "Memory that the inputs of waiting requests may take."),
    Key(
      "http.port", .number(0),
      "Port of 127.0.0.1 that answers HTTP without identity, as the next two keys allow. 0: off."),
    Key(
      "http.loopback_readonly", .flag(false),
      "There: the status page, /metrics and health, for every program of this machine."),
    Key(
      "http.loopback_infer", .flag(false),
      "There: that, and /v2 for running models, for every program of this machine; never administration."),
    Key("tcp.address", .text("::"), "Address for other machines, which need a certificate."),
    Key("tcp.grpc_port", .number(0), "Port of that address for gRPC over TLS. 0: off."),
    Key("tcp.http_port", .number(0), "Port of that address for HTTPS. 0: off."),
    Key("tcp.certificate", .text(""), "PEM file of the daemon's certificate and those that signed it."),
    Key("tcp.key", .text(""), "PEM file of its private key."),
    Key("tcp.client_ca", .text(""), "PEM file of the certificates that sign clients' certificates."),
    Key(
      "tcp.infer", .text(""),
      "Common names of certificates that may run models, separated by commas; *: all that are signed."),
    Key("tcp.administer", .text(""), "Common names of certificates that may administer."),
  ]

  private static let ports = 0...65_535

  /// - Parameters:
  ///   - file: A JSON object with some of ``keys``; `nil`: none.
  ///   - overrides: Values of the command line, by key; they win over the file.
  /// - Throws: ``ServiceError`` naming the file, the key and what it takes.
  package init(file: String?, overrides: [String: String] = [:]) async throws(ServiceError) {
    var providers: [any ConfigProvider] = [
      InMemoryProvider(name: "command line", values: Self.values(overrides.mapValues { .string($0) }))
    ]
    if let file { providers.append(try await Self.provider(file)) }
    providers.append(InMemoryProvider(name: "defaults", values: Self.defaults))
    let source = file.map { "the configuration \($0)" } ?? "the command line"
    let values = Values(reader: ConfigReader(providers: providers), source: source)

    socket = try values.text("socket")
    device = try values.text("device")
    let folder = try values.text("models")
    models = folder.isEmpty ? nil : folder
    bitstreams = try values.text("bitstreams")
    maximumMessageBytes = try values.number("max_message_bytes", in: 1 << 16...Self.messageBytesMax)
    let deadline = try values.number("run_deadline_seconds", in: 0...86_400)
    runDeadline = deadline == 0 ? nil : .seconds(deadline)
    drainLimit = .seconds(try values.number("drain_seconds", in: 1...3_600))
    deviceOptions = try Self.deviceOptions(values)
    socketMode = try values.text("socket_mode", "permissions such as 0660") { text in
      UInt32(text, radix: 8).flatMap { $0 <= 0o777 ? $0 : nil }
    }
    inferGroup = try values.text("infer_group")
    adminGroup = try values.text("admin_group")
    let modelBytes = try values.number("quota.model_bytes", in: 0...Int.max)
    quota = UserQuota(
      models: try values.number("quota.models", in: 0...10_000),
      modelBytes: modelBytes == 0 ? .max : UInt64(modelBytes),
      requests: try values.number("quota.requests", in: 1...100_000),
      requestBytes: try values.number("quota.request_bytes", in: 1 << 16...Int.max),
      connections: try values.number("quota.connections", in: 1...100_000))
    queue = Queue(
      requests: try values.number("queue.requests", in: 1...1_000_000),
      bytes: try values.number("queue.bytes", in: 1 << 20...Int.max))
    signatures = try Self.signatures(values)
    http = try Self.http(values)
    tcp = try Self.tcp(values)
    logLevel = try values.text("log_level", "one of trace, debug, info, notice, warning, error, critical") {
      Logger.Level(rawValue: $0)
    }
  }

  private static func signatures(_ values: Values) throws(ServiceError) -> SignaturePolicy {
    var keys: Set<[UInt8]> = []
    for text in try values.list("modules.keys") {
      guard let key = [UInt8](hex: text), key.count == ModuleSignature.keyByteCount else {
        throw values.refused("modules.keys", "takes keys of 64 hexadecimal digits, not '\(text.prefix(80))'")
      }
      keys.insert(key)
    }
    let isRequired = try values.flag("modules.require_signature")
    guard !isRequired || !keys.isEmpty else {
      throw values.refused("modules.require_signature", "would refuse every module; fill in modules.keys")
    }
    return SignaturePolicy(keys: keys, isRequired: isRequired)
  }

  private static func http(_ values: Values) throws(ServiceError) -> HTTP {
    let port = try values.number("http.port", in: ports)
    let isOpen = try values.flag("http.loopback_infer")
    let isReadable = try values.flag("http.loopback_readonly")
    guard port == 0 || isOpen || isReadable else {
      throw values.refused(
        "http.port", "has no use without http.loopback_readonly or http.loopback_infer; set one of them")
    }
    return HTTP(port: port == 0 ? nil : port, isInferenceOpen: isOpen)
  }

  private static func tcp(_ values: Values) throws(ServiceError) -> TCP {
    let ports = [
      try values.number("tcp.grpc_port", in: ports), try values.number("tcp.http_port", in: ports),
    ]
    var roles: [String: Role] = [:]
    for name in try values.list("tcp.infer") { roles[name] = .infer }
    for name in try values.list("tcp.administer") {
      guard name != "*" else {
        throw values.refused("tcp.administer", "takes names; every certificate can't administer")
      }
      roles[name] = .administer
    }
    let tcp = TCP(
      address: try values.text("tcp.address"), grpcPort: ports[0] == 0 ? nil : ports[0],
      httpPort: ports[1] == 0 ? nil : ports[1], certificate: try values.text("tcp.certificate"),
      key: try values.text("tcp.key"), clientCertificates: try values.text("tcp.client_ca"), roles: roles)
    if tcp.grpcPort != nil || tcp.httpPort != nil {
      for (key, path) in [
        ("tcp.certificate", tcp.certificate), ("tcp.key", tcp.key), ("tcp.client_ca", tcp.clientCertificates),
      ] where path.isEmpty {
        throw values.refused(key, "is needed: nothing is served to other machines without TLS")
      }
    }
    return tcp
  }

  private static func deviceOptions(_ values: Values) throws(ServiceError) -> DeviceOptions {
    let threads = try values.number("simulator_threads", in: 0...64)
    var options = DeviceOptions(simulator: SimulatorOptions(threads: threads))
    let board = try values.text("board")
    options.board = board.isEmpty ? nil : board
    let target = try values.text("target")
    options.target = target.isEmpty ? nil : target
    options.memory = try values.text(
      "memory", "one of \(MemoryChoice.names)"
    ) { MemoryChoice($0) }
    let bitstream = try values.text("bitstream")
    options.bitstream = bitstream.isEmpty ? nil : bitstream
    options.requiresHardware = try values.flag("require_hardware")
    options.onFailure = try values.text("on_failure", "error or simulator") {
      DeviceOptions.OnFailure(rawValue: $0)
    }
    options.stallLimit = .seconds(try values.number("stall_seconds", in: 1...3_600))
    return options
  }

  /// Keys that differ from another configuration and are not taken on by a running daemon.
  func keysForRestart(differingFrom other: DaemonConfiguration) -> [String] {
    let pairs: [(String, Bool)] = [
      ("socket", socket == other.socket), ("socket_mode", socketMode == other.socketMode),
      ("device", device == other.device), ("models", models == other.models),
      ("bitstreams", bitstreams == other.bitstreams),
      ("max_message_bytes", maximumMessageBytes == other.maximumMessageBytes),
      ("drain_seconds", drainLimit == other.drainLimit), ("http", http == other.http),
      ("tcp", tcp.withoutRoles == other.tcp.withoutRoles),
    ]
    return pairs.filter { !$0.1 }.map(\.0)
  }

  private static var defaults: [AbsoluteConfigKey: ConfigValue] {
    values(
      Dictionary(
        uniqueKeysWithValues: keys.map { key in
          switch key.default {
          case .text(let text): (key.name, .string(text))
          case .number(let number): (key.name, .int(number))
          case .flag(let flag): (key.name, .bool(flag))
          }
        }))
  }

  private static func values(_ contents: [String: ConfigContent]) -> [AbsoluteConfigKey: ConfigValue] {
    Dictionary(
      uniqueKeysWithValues: contents.map { name, value in
        (AbsoluteConfigKey(components(of: name)), ConfigValue(value, isSecret: false))
      })
  }

  /// `http.port` is `port` of the object `http`.
  fileprivate static func components(of name: String) -> [String] {
    name.split(separator: ".").map(String.init)
  }

  /// Values by their whole names.
  private static func flat(_ object: [String: Any], prefix: String = "") -> [String: Any] {
    object.reduce(into: [:]) { result, entry in
      let name = prefix + entry.key
      if let nested = entry.value as? [String: Any], keys.contains(where: { $0.name.hasPrefix(name + ".") }) {
        result.merge(flat(nested, prefix: name + ".")) { $1 }
      } else {
        result[name] = entry.value
      }
    }
  }

  /// The file's values, after a look at its keys: a misspelt key must not pass for its default.
  private static func provider(_ file: String) async throws(ServiceError) -> any ConfigProvider {
    let object: Any
    do {
      object = try JSONSerialization.jsonObject(with: Data(File.read(file, limit: 1 << 20)))
    } catch let error as FileError {
      throw ServiceError(.failedPrecondition, "the configuration \(error); check the path")
    } catch {
      throw ServiceError(.failedPrecondition, "the configuration \(file) is not valid JSON; see vtad --help")
    }
    guard let values = (object as? [String: Any]).map({ flat($0) }) else {
      throw ServiceError(
        .failedPrecondition, "the configuration \(file) is not a JSON object; see vtad --help")
    }
    let known = keys.map(\.name)
    if let unknown = values.keys.sorted().first(where: { !known.contains($0) }) {
      throw ServiceError(
        .failedPrecondition,
        "the configuration \(file) has the unknown key '\(unknown)'; the keys are \(known.joined(separator: ", "))"
      )
    }
    // A nested value would count as absent.
    if let name = values.keys.sorted().first(where: { !(values[$0] is String) && !(values[$0] is NSNumber) })
    {
      throw ServiceError(
        .failedPrecondition,
        "the configuration \(file): the key '\(name)' takes a text, a number, or true or false")
    }
    do {
      return try await FileProvider<JSONSnapshot>(filePath: FilePath(file))
    } catch {
      throw ServiceError(.failedPrecondition, "the configuration \(file) can't be read: \(error)")
    }
  }
}

/// Reads keys of the table.
private struct Values {
  let reader: ConfigReader
  let source: String

  func text(_ name: String) throws(ServiceError) -> String {
    do {
      return try reader.requiredString(forKey: ConfigKey(DaemonConfiguration.components(of: name)))
    } catch {
      throw wrong(name, "a text")
    }
  }

  func text<Value>(
    _ name: String, _ expected: String, _ parse: (String) -> Value?
  ) throws(ServiceError) -> Value {
    guard let value = parse(try text(name)) else { throw wrong(name, expected) }
    return value
  }

  func number(_ name: String, in range: ClosedRange<Int>) throws(ServiceError) -> Int {
    guard let value = try? reader.requiredInt(forKey: ConfigKey(DaemonConfiguration.components(of: name))),
      range.contains(value)
    else {
      throw wrong(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func flag(_ name: String) throws(ServiceError) -> Bool {
    do {
      return try reader.requiredBool(forKey: ConfigKey(DaemonConfiguration.components(of: name)))
    } catch {
      throw wrong(name, "true or false")
    }
  }

  /// Parts of a text between commas.
  func list(_ name: String) throws(ServiceError) -> [String] {
    try text(name).split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter {
      !$0.isEmpty
    }
  }

  func refused(_ name: String, _ why: String) -> ServiceError {
    ServiceError(.failedPrecondition, "\(source): the key '\(name)' \(why)")
  }

  private func wrong(_ name: String, _ expected: String) -> ServiceError {
    refused(name, "takes \(expected)")
  }
}
