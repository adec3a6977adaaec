internal import Logging
internal import VTA

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
    let board: Board
    if let known = self.board { board = known } else { board = try detected() }
    let target: Target
    if let text = options.target {
      target = try DeviceName.target(named: text, of: name)
    } else {
      target = board.target
    }
    let (registers, resolved, note) = try bind(way, board)
    let backend = try MemoryMappedBackend(
      MemoryMappedBackend.Parts(
        board: board, target: target, kernel: kernel, registers: registers,
        memory: try options.memory.open(beside: board.registers, on: kernel),
        headroom: CMAHeadroom(kernel: kernel, byteCount: 0),
        stallLimit: options.stallLimit))
    return DeviceName.Opened(
      description: DeviceDescription(
        name: name.hasPrefix("simulated-board:") ? name : resolved, kind: .board, target: target, note: note,
        hardware: backend.hardware),
      backend: backend)
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
