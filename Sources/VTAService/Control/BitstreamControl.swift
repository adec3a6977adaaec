internal import Logging
internal import SwiftProtobuf
internal import VTA
internal import VTAModule
internal import VTARuntime

/// The bitstreams of the daemon's folder, and how they get into the FPGA while it serves.
struct BitstreamControl: Sendable {
  let folder: String
  let models: ModelStore
  let dispatcher: Dispatcher
  let logger: Logger

  /// Files of the folder, and known bitstreams for the boards that are there.
  func list() throws -> Vta_V1_ListBitstreamsResponse {
    let files = try contents()
    let boards = Set(dispatcher.devices.compactMap { $0.description.hardware?.board })
    let elsewhere = files.catalogue.bitstreams.filter { known in
      !boards.isDisjoint(with: known.boards) && !files.entries.contains { $0.known == known }
    }
    return .with {
      $0.folder = folder
      $0.bitstreams = files.entries.map(Self.message) + elsewhere.map { Self.message($0, file: "") }
    }
  }

  /// - Returns: The number of the device.
  /// - Throws: ``ServiceError``, ``DeviceError``.
  func program(_ request: Vta_V1_ProgramBitstreamRequest, for caller: Caller) async throws -> Int {
    let number = try board(named: request.device)
    let device = dispatcher.devices[number]
    let before = device.description
    let (bitstream, known) = try file(named: request.file, for: before)
    logger.notice(
      "program bitstream",
      metadata: ["device": "\(before.name)", "file": "\(request.file)", "caller": .stringConvertible(caller)])
    let after = try await device.program(bitstream, as: known)
    if after.target != before.target { await models.reload() }
    return number
  }

  private func contents() throws(ServiceError) -> BitstreamFolder {
    do {
      return try BitstreamFolder(folder)
    } catch {
      throw ServiceError(.failedPrecondition, "the bitstream folder \(folder): \(error)")
    }
  }

  private func board(named name: String) throws(ServiceError) -> Int {
    let numbers = try dispatcher.numbers(named: name).filter {
      dispatcher.devices[$0].description.hardware != nil
    }
    guard let number = numbers.first, numbers.count == 1 else {
      throw ServiceError(
        numbers.isEmpty ? .failedPrecondition : .invalidArgument,
        numbers.isEmpty
          ? "\(name.isEmpty ? "the daemon has no board" : "the device \(name) is a simulator"): there is no FPGA to program"
          : "the daemon has several boards; name one (vtactl devices lists them)")
    }
    return number
  }

  private func file(
    named name: String, for device: DeviceDescription
  ) throws(ServiceError) -> (Bitstream, KnownBitstream) {
    guard let entry = try contents().entries.first(where: { $0.name == name }) else {
      throw ServiceError(
        .notFound,
        "there is no bitstream '\(name.prefix(200))' in \(folder); vtactl bitstream list --daemon tells what there is"
      )
    }
    let bitstream: Bitstream
    do { bitstream = try entry.contents.get() } catch {
      throw ServiceError(.failedPrecondition, "\(name): \(error)")
    }
    guard let known = entry.known else {
      throw ServiceError(
        .failedPrecondition,
        "\(name) is in no catalogue, so nobody knows what accelerator it makes; describe it in \(folder)/\(BitstreamCatalogue.manifestName)"
      )
    }
    let board = device.hardware?.board ?? ""
    guard known.boards.contains(board) else {
      throw ServiceError(
        .failedPrecondition,
        "\(name) is \(known.title) for \(known.boards.joined(separator: ", ")), but \(device.name) is \(board)"
      )
    }
    return (bitstream, known)
  }

  private static func message(_ entry: BitstreamFolder.Entry) -> Vta_V1_Bitstream {
    var message = Vta_V1_Bitstream()
    if let known = entry.known { message = Self.message(known, file: entry.name) }
    message.file = entry.name
    switch entry.contents {
    case .success(let bitstream): message.sha256 = bitstream.sha256
    case .failure(let error): message.problem = "\(error)"
    }
    if entry.known == nil, message.problem.isEmpty { message.problem = "it is in no catalogue" }
    return message
  }

  private static func message(_ known: KnownBitstream, file: String) -> Vta_V1_Bitstream {
    .with {
      $0.file = file
      $0.title = known.title
      $0.boards = known.boards
      $0.target = known.target.description
      if case .sha256(let digest) = known.digest { $0.sha256 = digest }
    }
  }
}
