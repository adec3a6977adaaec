package import Logging
internal import VTAModule
package import VTARuntime

/// The models that can be asked for: those of the directory, for everybody, and those that clients have submitted, each
/// for the connection that it came through.
///
/// A submitted model goes when its connection closes. Device memory is shared by all who loaded the same file, and is
/// given back when the last one, a running call included, lets go of it.
package actor ModelStore {
  private let loader: ModelLoading
  private let directory: ModelDirectory?
  private let connections: ConnectionRegistry
  private let logger: Logger

  private var published: [String: [UInt64: Entry]] = [:]
  private var submitted: [ConnectionID: [String: LoadedModel]] = [:]
  private var hasScanned = false

  private enum Entry {
    case ready(LoadedModel)
    case unavailable(String)

    var model: LoadedModel? {
      if case .ready(let model) = self { model } else { nil }
    }

    var reason: String? {
      if case .unavailable(let reason) = self { reason } else { nil }
    }
  }

  package init(
    device: DeviceWorker, directory: ModelDirectory?, connections: ConnectionRegistry, logger: Logger
  ) {
    loader = ModelLoading(device: device)
    self.directory = directory
    self.connections = connections
    self.logger = logger
    connections.onClose { [weak self] connection in
      Task { await self?.forget(connection) }
    }
  }

  /// The directory has been read once.
  package var isReady: Bool { hasScanned }

  /// Loads everything in the directory. A file that is no model is reported and keeps none of the others away.
  package func scan() async {
    do {
      for candidate in try directory?.candidates() ?? [] { _ = await publish(candidate) }
    } catch {
      logger.warning("\(error)")
    }
    hasScanned = true
  }
}

// Questions.
extension ModelStore {
  /// - Parameter version: Empty: the highest one that can be used.
  func find(_ name: String, version: String, for caller: Caller) throws(ServiceError) -> ServedModel {
    if let model = submitted[caller.connection]?[name] {
      guard version.isEmpty || version == ServedModel.onlyVersion else {
        throw ServiceError(.notFound, "the model \(name) has no version \(version); it has version 1")
      }
      return ServedModel(
        name: name, version: ServedModel.onlyVersion, versions: [ServedModel.onlyVersion], loaded: model)
    }
    guard let entries = published[name] else {
      guard hasScanned else {
        throw ServiceError(.unavailable, "the model folder is still being read; try again in a moment")
      }
      throw ServiceError(
        .notFound, "there is no model \(Self.quoted(name)); vtactl models lists those there are")
    }
    return try find(name, version: version, in: entries)
  }

  func isReady(_ name: String, version: String, for caller: Caller) -> Bool {
    (try? find(name, version: version, for: caller)) != nil
  }

  /// The directory's models and the caller's own.
  func index(for caller: Caller) -> [IndexEntry] {
    let own = (submitted[caller.connection] ?? [:]).keys.map {
      IndexEntry(name: $0, version: ServedModel.onlyVersion, reason: nil)
    }
    let shared = published.flatMap { name, entries in
      entries.sorted { $0.key < $1.key }.map { version, entry in
        IndexEntry(name: name, version: String(version), reason: entry.reason)
      }
    }
    return own.sorted { $0.name < $1.name } + shared.sorted { $0.name < $1.name }
  }

  func counts() -> ModelCounts {
    let entries = published.values.flatMap(\.values)
    let ready = entries.count { $0.model != nil }
    return ModelCounts(
      ready: ready, unavailable: entries.count - ready,
      submitted: submitted.values.reduce(0) { $0 + $1.count })
  }

  private func find(
    _ name: String, version: String, in entries: [UInt64: Entry]
  ) throws(ServiceError) -> ServedModel {
    let ready = entries.filter { $0.value.model != nil }.keys.sorted()
    let wanted = version.isEmpty ? (ready.last ?? entries.keys.max()) : UInt64(version)
    guard let wanted, let entry = entries[wanted] else {
      let known = entries.keys.sorted().map(String.init).joined(separator: ", ")
      throw ServiceError(
        .notFound, "the model \(name) has no version \(Self.quoted(version)); there is \(known)")
    }
    switch entry {
    case .unavailable(let reason):
      throw ServiceError(
        .failedPrecondition, "version \(wanted) of the model \(name) can't be used: \(reason)")
    case .ready(let model):
      return ServedModel(
        name: name, version: String(wanted), versions: ready.map(String.init), loaded: model)
    }
  }

  /// Text of a client inside a sentence.
  private static func quoted(_ text: String) -> String { "'\(text.prefix(200))'" }
}

// Changes.
extension ModelStore {
  /// Reads a model of the directory, again if it is there already.
  func load(_ name: String, for caller: Caller) async throws(ServiceError) {
    let candidates = try directory?.candidates().filter { $0.name == name } ?? []
    guard !candidates.isEmpty else {
      throw ServiceError(.notFound, "the model folder has no model \(Self.quoted(name)); submit it as a file")
    }
    logger.info("load", metadata: ["model": "\(name)", "caller": "\(caller)"])
    // Versions whose files are gone are gone.
    published[name] = nil
    var problems: [String] = []
    for candidate in candidates {
      if let problem = await publish(candidate) { problems.append(problem) }
    }
    guard problems.isEmpty else {
      throw ServiceError(.failedPrecondition, "the model \(name): \(problems.joined(separator: "; "))")
    }
  }

  func unload(_ name: String, for caller: Caller) throws(ServiceError) {
    if submitted[caller.connection]?.removeValue(forKey: name) != nil { return }
    guard let entries = published[name] else {
      throw ServiceError(
        .notFound, "there is no model \(Self.quoted(name)) to unload; vtactl models lists those there are")
    }
    logger.info("unload", metadata: ["model": "\(name)", "caller": "\(caller)"])
    published[name] = entries.mapValues { entry in
      entry.model == nil ? entry : .unavailable("it was unloaded; load it to use it again")
    }
  }

  /// Loads a file for the caller's connection alone, instead of the one it submitted under the name before.
  func submit(_ bytes: [UInt8], as name: String, for caller: Caller) async throws {
    guard !name.isEmpty else {
      throw ServiceError(.invalidArgument, "a submitted model needs a name; fill in model_name")
    }
    let own = submitted[caller.connection] ?? [:]
    guard own[name] != nil || own.count < ServiceLimits.modelsPerConnection else {
      throw ServiceError(
        .resourceExhausted,
        "this connection has \(own.count) models already; unload one before submitting another")
    }
    let model = try await loader.load(bytes)
    // The client may have left while its model was being loaded; nobody would forget it then.
    guard connections.isOpen(caller.connection) else { throw CancellationError() }
    submitted[caller.connection, default: [:]][name] = model
    logger.info(
      "submitted", metadata: ["model": "\(name)", "bytes": "\(bytes.count)", "caller": "\(caller)"])
  }

  private func forget(_ connection: ConnectionID) {
    submitted[connection] = nil
  }

  /// Why the file can't be served; `nil` if it can.
  private func publish(_ candidate: ModelDirectory.Candidate) async -> String? {
    let entry: Entry
    do {
      if let problem = candidate.problem { throw ServiceError(.failedPrecondition, problem) }
      entry = .ready(try await loader.load(file: candidate.path))
    } catch {
      entry = .unavailable(ServiceError(error).description)
    }
    published[candidate.name, default: [:]][candidate.version] = entry
    let metadata: Logger.Metadata = [
      "model": "\(candidate.name)", "version": "\(candidate.version)", "file": "\(candidate.path)",
    ]
    switch entry {
    case .ready: logger.info("serving", metadata: metadata)
    case .unavailable(let reason): logger.warning("not serving: \(reason)", metadata: metadata)
    }
    return entry.reason
  }
}
