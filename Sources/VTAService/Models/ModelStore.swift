package import Logging
internal import Synchronization
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

  private typealias Versions = [UInt64: Entry]
  private var published: [String: Versions] = [:] { didSet { show() } }
  private var submitted: [ConnectionID: [String: Submission]] = [:] { didSet { show() } }
  private var usage: QuotaUsage
  /// Of published versions, also while they can't be used.
  private var records: [String: [UInt64: ModelRecord]] = [:]
  private var hasScanned = false { didSet { show() } }
  /// What requests look into, which do not wait for the actor.
  private let shown = Mutex(Tables(published: [:], submitted: [:], hasScanned: false))

  private struct Tables: Sendable {
    let published: [String: Versions]
    let submitted: [ConnectionID: [String: Submission]]
    let hasScanned: Bool
  }

  private enum Entry: Sendable {
    case ready(ModelInstances, ModelRecord)
    case unavailable(String)

    var isReady: Bool { reason == nil }

    var reason: String? {
      if case .unavailable(let reason) = self { reason } else { nil }
    }
  }

  private struct Submission: Sendable {
    let versions: Versions
    let owner: Caller.User
    /// As it was counted for the owner's quota.
    let bytes: UInt64
  }

  package init(
    devices: [DeviceWorker], directory: ModelDirectory?, connections: ConnectionRegistry,
    quota: UserQuota, signatures: @escaping @Sendable () -> SignaturePolicy, logger: Logger
  ) {
    loader = ModelLoading(devices: devices, signatures: signatures)
    self.directory = directory
    self.connections = connections
    self.logger = logger
    usage = QuotaUsage(quota: quota)
    connections.onClose { [weak self] closure in
      Task { await self?.forget(closure.connection) }
    }
  }

  /// The directory has been read once.
  package var isReady: Bool { hasScanned }

  private func show() {
    let tables = Tables(published: published, submitted: submitted, hasScanned: hasScanned)
    shown.withLock { $0 = tables }
  }

  package func change(quota: UserQuota) { usage.quota = quota }

  /// Loads everything in the directory. A file that is no model is reported and keeps none of the others away.
  package func scan() async {
    do {
      directory?.removeUnfinished()
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
  nonisolated func find(
    _ name: String, version: String, for caller: Caller
  ) throws(ServiceError) -> ServedModel {
    try find(name, version: version, in: try versions(of: name, for: caller))
  }

  nonisolated func isReady(_ name: String, version: String, for caller: Caller) -> Bool {
    (try? find(name, version: version, for: caller)) != nil
  }

  /// Every version of a model that can be used.
  /// - Parameter version: Empty: all.
  func find(
    all name: String, version: String, for caller: Caller
  ) throws(ServiceError) -> [ServedModel] {
    guard version.isEmpty else { return [try find(name, version: version, for: caller)] }
    let found = served(name, try versions(of: name, for: caller))
    // Says why there is none.
    return found.isEmpty ? [try find(name, version: "", for: caller)] : found
  }

  /// Every version of every model that the caller can use.
  func all(for caller: Caller) -> [ServedModel] {
    let own = (submitted[caller.connection] ?? [:]).mapValues(\.versions)
    return own.merging(published) { mine, _ in mine }.sorted { $0.key < $1.key }.flatMap { name, entries in
      served(name, entries)
    }
  }

  /// The directory's models and the caller's own.
  func index(for caller: Caller) -> [IndexEntry] {
    let own = (submitted[caller.connection] ?? [:]).mapValues(\.versions)
    return [own, published].flatMap { models in
      models.sorted { $0.key < $1.key }.flatMap { name, entries in
        entries.sorted { $0.key < $1.key }.map { version, entry in
          IndexEntry(name: name, version: String(version), reason: entry.reason)
        }
      }
    }
  }

  func counts() -> ModelCounts {
    let entries = published.values.flatMap(\.values)
    let ready = entries.count { $0.isReady }
    return ModelCounts(
      ready: ready, unavailable: entries.count - ready,
      submitted: submitted.values.reduce(0) { $0 + $1.count })
  }

  /// Every published version that can be used.
  func served() -> [ServedModel] {
    published.sorted { $0.key < $1.key }.flatMap { name, entries in served(name, entries) }
  }

  /// Published versions that can't be used.
  func unavailable() -> [IndexEntry] {
    published.sorted { $0.key < $1.key }.flatMap { name, entries in
      entries.sorted { $0.key < $1.key }.filter { !$0.value.isReady }.map { version, entry in
        IndexEntry(name: name, version: String(version), reason: entry.reason)
      }
    }
  }

  private nonisolated func versions(of name: String, for caller: Caller) throws(ServiceError) -> Versions {
    let tables = shown.withLock { $0 }
    if let own = tables.submitted[caller.connection]?[name] { return own.versions }
    guard let entries = tables.published[name] else {
      guard tables.hasScanned else {
        throw ServiceError(.unavailable, "the model folder is still being read; try again in a moment")
      }
      throw ServiceError(
        .notFound, "there is no model \(Self.quoted(name)); vtactl models lists those there are")
    }
    return entries
  }

  private func served(_ name: String, _ entries: Versions) -> [ServedModel] {
    let ready = entries.filter { $0.value.isReady }.keys.sorted()
    return ready.compactMap { version in
      guard case .ready(let model, let record)? = entries[version] else { return nil }
      return ServedModel(
        name: name, version: String(version), versions: ready.map(String.init), instances: model,
        record: record)
    }
  }

  private nonisolated func find(
    _ name: String, version: String, in entries: Versions
  ) throws(ServiceError) -> ServedModel {
    let ready = entries.filter { $0.value.isReady }.keys.sorted()
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
    case .ready(let model, let record):
      return ServedModel(
        name: name, version: String(wanted), versions: ready.map(String.init), instances: model,
        record: record)
    }
  }

  /// Text of a client inside a sentence.
  private static func quoted(_ text: String) -> String { "'\(text.prefix(200))'" }
}

// The directory.
extension ModelStore {
  /// Reads a model of the directory, again if it is there already.
  func load(_ name: String, for caller: Caller) async throws(ServiceError) {
    let candidates = try directory?.candidates().filter { $0.name == name } ?? []
    guard !candidates.isEmpty else {
      throw ServiceError(.notFound, "the model folder has no model \(Self.quoted(name)); submit it as a file")
    }
    logger.info("load", metadata: ["model": "\(name)", "caller": .stringConvertible(caller)])
    // Versions whose files are gone are gone. The others serve until they are replaced.
    let versions = Set(candidates.map(\.version))
    published[name] = published[name]?.filter { versions.contains($0.key) }
    var problems: [String] = []
    for candidate in candidates {
      if let problem = await publish(candidate) { problems.append(problem) }
    }
    guard problems.isEmpty else {
      throw ServiceError(.failedPrecondition, "the model \(name): \(problems.joined(separator: "; "))")
    }
  }

  /// - Throws: `permissionDenied` for a model of the directory if the caller does not administer.
  func unload(_ name: String, for caller: Caller) throws(ServiceError) {
    if let submission = submitted[caller.connection]?.removeValue(forKey: name) {
      giveBack(submission)
      return
    }
    guard let entries = published[name] else {
      throw ServiceError(
        .notFound, "there is no model \(Self.quoted(name)) to unload; vtactl models lists those there are")
    }
    try caller.require(.administer, to: "unload models of the model folder")
    logger.info("unload", metadata: ["model": "\(name)", "caller": .stringConvertible(caller)])
    published[name] = entries.mapValues { entry in
      entry.isReady ? .unavailable("it was unloaded; load it to use it again") : entry
    }
  }

  /// Puts versions of a model into the directory, and serves them to everybody. Each is loaded before it is written, so
  /// that nothing that can't be used gets there.
  func publish(_ files: [ModelUpload.File], as name: String, for caller: Caller) async throws {
    guard let directory else {
      throw ServiceError(
        .failedPrecondition, "there is no model folder to keep a model in; set models in the configuration")
    }
    try ModelDirectory.check(name: name)
    logger.info(
      "publish",
      metadata: [
        "model": "\(name)", "versions": "\(files.map(\.version))", "caller": .stringConvertible(caller),
      ])
    for file in files {
      // Held until it is published, so that it is not loaded twice.
      let model = try await loader.load(file.bytes)
      let candidate = try directory.store(file.bytes, as: name, version: file.version)
      if let problem = await publish(candidate) { throw ServiceError(.failedPrecondition, problem) }
      withExtendedLifetime(model) {}
    }
  }

  /// Why the file can't be served; `nil` if it can.
  private func publish(_ candidate: ModelDirectory.Candidate) async -> String? {
    let entry: Entry
    do {
      if let problem = candidate.problem { throw ServiceError(.failedPrecondition, problem) }
      let model = try await loader.load(file: candidate.path)
      entry = .ready(model, record(of: candidate))
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

  private func record(of candidate: ModelDirectory.Candidate) -> ModelRecord {
    if let record = records[candidate.name]?[candidate.version] { return record }
    let record = ModelRecord()
    records[candidate.name, default: [:]][candidate.version] = record
    return record
  }
}

// What a device can run has changed.
extension ModelStore {
  /// Loads the directory's models for what the devices are now.
  func reload() async {
    await loader.forgetAll()
    // Their memory is free before it is needed again.
    published = published.mapValues { versions in
      versions.mapValues { _ in .unavailable("it is being loaded again; try again in a moment") }
    }
    await scan()
  }
}

// What a call brings along.
extension ModelStore {
  /// Loads a file for as long as `body` takes.
  nonisolated func withModel<Answer: Sendable>(
    _ bytes: [UInt8], for caller: Caller, _ body: (ServedModel) async throws -> Answer
  ) async throws -> Answer {
    let file = try loader.read(bytes)
    return try await withQuota(of: file.module.memoryByteCount, for: caller) {
      let instances = try await loader.load(file)
      return try await body(
        ServedModel(
          name: file.module.name, version: "1", versions: ["1"], instances: instances, record: ModelRecord()))
    }
  }

  /// Counts device memory for the caller as one submitted model, for as long as `body` takes.
  nonisolated func withQuota<Answer: Sendable>(
    of bytes: UInt64, for caller: Caller, _ body: () async throws -> Answer
  ) async throws -> Answer {
    try await take(bytes, of: caller.user)
    do {
      let answer = try await body()
      await giveBack(bytes, of: caller.user)
      return answer
    } catch {
      await giveBack(bytes, of: caller.user)
      throw error
    }
  }

  private func take(_ bytes: UInt64, of user: Caller.User) throws(ServiceError) {
    try usage.take(models: 1, bytes: bytes, for: user)
  }

  private func giveBack(_ bytes: UInt64, of user: Caller.User) {
    usage.giveBack(models: 1, bytes: bytes, of: user)
  }
}

// What clients submit.
extension ModelStore {
  /// Loads versions of a model for the caller's connection alone, instead of what it submitted under the name before.
  func submit(_ files: [ModelUpload.File], as name: String, for caller: Caller) async throws {
    guard !name.isEmpty else {
      throw ServiceError(.invalidArgument, "a submitted model needs a name; fill in model_name")
    }
    let modules = try files.map { (version: $0.version, file: try loader.read($0.bytes)) }
    let bytes = modules.reduce(0) { $0 &+ $1.file.module.memoryByteCount }
    try usage.take(models: modules.count, bytes: bytes, for: caller.user)
    var versions: Versions = [:]
    do {
      for (version, file) in modules {
        versions[version] = .ready(try await loader.load(file), ModelRecord())
      }
      // The client may have left while its model was being loaded; nobody would forget it then.
      guard connections.isOpen(caller.connection) else { throw CancellationError() }
    } catch {
      usage.giveBack(models: modules.count, bytes: bytes, of: caller.user)
      throw error
    }
    let submission = Submission(versions: versions, owner: caller.user, bytes: bytes)
    if let replaced = submitted[caller.connection, default: [:]].updateValue(submission, forKey: name) {
      giveBack(replaced)
    }
    logger.info(
      "submitted",
      metadata: [
        "model": "\(name)", "bytes": "\(files.reduce(0) { $0 + $1.bytes.count })",
        "caller": .stringConvertible(caller),
      ])
  }

  private func forget(_ connection: ConnectionID) {
    for submission in (submitted.removeValue(forKey: connection) ?? [:]).values { giveBack(submission) }
  }

  private func giveBack(_ submission: Submission) {
    usage.giveBack(models: submission.versions.count, bytes: submission.bytes, of: submission.owner)
  }
}

extension Module {
  /// What its regions and programs take on a device, without what a device adds to them.
  fileprivate var memoryByteCount: UInt64 {
    regions.reduce(0) { $0 &+ $1.byteCount } &+ programs.reduce(0) { $0 &+ UInt64($1.instructions.count) }
  }
}
