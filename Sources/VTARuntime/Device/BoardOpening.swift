internal import Logging
internal import VTA
internal import VTAModule

/// The ladder from a board's description to a device that has passed its self-test. What fails throws, and what was
/// opened before it is closed.
struct BoardOpening {
  /// How the registers are reached.
  enum Registers {
    case uio(String)
    case physical(PhysicalAddress)
    /// UIO, and `/dev/mem` where there is none.
    case any
  }

  private let name: String
  private let board: Board?
  private let options: DeviceOptions
  private let kernel: any Kernel

  /// - Parameter board: `nil`: to be detected.
  init(name: String, board: Board?, _ options: DeviceOptions) {
    self.name = name
    self.board = board
    self.options = options
    kernel = options.kernel
  }

  func open(_ way: Registers) throws(DeviceError) -> DeviceName.Opened {
    var board: Board
    if let known = self.board { board = known } else { board = try detected() }
    var target: Target
    if let text = options.target {
      target = try DeviceName.target(named: text, of: name)
    } else {
      target = board.target
    }
    let (bitstream, known) = try self.bitstream()
    if let known {
      board = board.configured(with: known)
      if options.target == nil { target = known.target }
    }
    let found = Found()
    let backend = try MemoryMappedBackend(
      MemoryMappedBackend.Parts(
        board: board, target: target, kernel: kernel,
        memory: try options.memory.open(on: kernel, for: board),
        headroom: CMAHeadroom(kernel: kernel, byteCount: Self.headroom(bitstream, board)),
        bitstream: bitstream, stallLimit: options.stallLimit, logger: options.logger,
        bind: { (board) throws(DeviceError) in
          let (registers, name, note) = try bind(way, board)
          found.name = name
          found.note = note
          return registers
        }))
    return DeviceName.Opened(
      description: DeviceDescription(
        name: name == "auto" ? found.name : name, kind: .board, target: target, note: found.note,
        hardware: backend.hardware),
      backend: backend)
  }

  /// What was learnt when the registers were found.
  private final class Found {
    var name = ""
    var note: String?
  }

  /// The file to configure the FPGA with, and what is known of it.
  private func bitstream() throws(DeviceError) -> (Bitstream?, KnownBitstream?) {
    guard let path = options.bitstream else { return (nil, nil) }
    do {
      let bitstream = try Bitstream(try File.read(path, limit: Bitstream.byteCountMax))
      let folders = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      let catalogue = try BitstreamCatalogue(folder: folders.isEmpty ? "." : folders.joined(separator: "/"))
      return (bitstream, catalogue.recognise(bitstream))
    } catch {
      throw .bitstreamUnusable(reason: "\(path): \(error)")
    }
  }

  /// Only ZynqMP's driver copies the whole file into contiguous memory.
  private static func headroom(_ bitstream: Bitstream?, _ board: Board) -> UInt64 {
    guard let bitstream, board.configuration.family == .zynqUltraScale else { return 0 }
    return UInt64(bitstream.payload.count)
  }

  private func detected() throws(DeviceError) -> Board {
    switch Board.detect(on: kernel) {
    case .board(let board, let reason):
      options.logger.info("board \(board.name)", metadata: ["because": "\(reason)"])
      return board
    case .unknown(let model, _):
      throw .noBoard(
        name: name, reasons: ["the device tree describes no known board (\(model)); say which it is (board)"])
    case .noDeviceTree:
      throw .noBoard(name: name, reasons: ["this machine has no device tree to know a board by"])
    }
  }

  private func bind(
    _ way: Registers, _ board: Board
  ) throws(DeviceError) -> (DeviceRegisters, name: String, note: String?) {
    let binding = RegisterBinding(board: board, kernel: kernel)
    switch way {
    case .uio(let device): return (try binding.uio(device), name, nil)
    case .physical(let address): return (try binding.physicalMemory(address), name, nil)
    case .any:
      do throws(DeviceError) {
        let registers = try binding.uio(nil)
        return (registers, "uio:\(registers.path.split(separator: "/").last ?? "")", nil)
      } catch {
        let uio = error
        do throws(DeviceError) {
          let registers = try binding.physicalMemory(nil)
          return (registers, "mem:\(binding.lowest)", "registers through /dev/mem, since \(uio.why)")
        } catch {
          throw .noBoard(name: name, reasons: [uio.why, error.why])
        }
      }
    }
  }
}

extension DeviceError {
  /// Without "the device … can't be opened", to be part of a longer sentence.
  fileprivate var why: String {
    if case .noBoard(_, let reasons) = self { reasons.joined(separator: "; ") } else { description }
  }
}
