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
  package let maximumMessageBytes: Int
  /// `nil`: none.
  package let runDeadline: Duration?
  package let drainLimit: Duration
  package let logLevel: Logger.Level

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
      "auto, uio:NAME, mem:ADDRESS, sim, sim:TARGET, sim:FILE.json or simulated-board:BOARD; auto without a board is sim."
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
      "max_message_bytes", .number(messageBytesMax),
      "Largest request that is accepted, model files included."),
    Key(
      "run_deadline_seconds", .number(60),
      "Longest time for one inference, waiting included. 0: no limit."),
    Key("drain_seconds", .number(30), "Time for running calls to finish after SIGTERM."),
    Key("log_level", .text("info"), "trace, debug, info, notice, warning, error or critical."),
  ]

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
    maximumMessageBytes = try values.number("max_message_bytes", in: 1 << 16...Self.messageBytesMax)
    let deadline = try values.number("run_deadline_seconds", in: 0...86_400)
    runDeadline = deadline == 0 ? nil : .seconds(deadline)
    drainLimit = .seconds(try values.number("drain_seconds", in: 1...3_600))
    deviceOptions = try Self.deviceOptions(values)
    socketMode = try values.text("socket_mode", "permissions such as 0660") { text in
      UInt32(text, radix: 8).flatMap { $0 <= 0o777 ? $0 : nil }
    }
    logLevel = try values.text("log_level", "one of trace, debug, info, notice, warning, error, critical") {
      Logger.Level(rawValue: $0)
    }
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
      uniqueKeysWithValues: contents.map { (AbsoluteConfigKey([$0]), ConfigValue($1, isSecret: false)) })
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
    guard let values = object as? [String: Any] else {
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
      return try reader.requiredString(forKey: ConfigKey([name]))
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
    guard let value = try? reader.requiredInt(forKey: ConfigKey([name])), range.contains(value) else {
      throw wrong(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func flag(_ name: String) throws(ServiceError) -> Bool {
    guard let value = try? reader.requiredBool(forKey: ConfigKey([name])) else {
      throw wrong(name, "true or false")
    }
    return value
  }

  private func wrong(_ name: String, _ expected: String) -> ServiceError {
    ServiceError(.failedPrecondition, "\(source): the key '\(name)' takes \(expected)")
  }
}
