/// Blocks of 32-bit registers through which a host drives an accelerator, and the protocol of a run, as tables
/// (reference/vta-hardware.md, sections 5.1 and 5.2). Where a block starts belongs to the board or its bitstream.
package struct RegisterMap: Hashable, Sendable {
  package enum Block: String, Hashable, Sendable, CaseIterable {
    case fetch
    case load
    case compute
    case store
    /// The only block of the Chisel hardware.
    case vcr
  }

  package enum Name: String, Hashable, Sendable, CaseIterable {
    case control
    case interruptEnable = "interrupt_enable"
    case interruptMask = "interrupt_mask"
    case interruptStatus = "interrupt_status"
    case instructionCount = "insn_count"
    case instructionAddress = "insn_address"
    case inpBase = "inp_base"
    case wgtBase = "wgt_base"
    case doneInput = "done_input"
    case done
    case doneValid = "done_valid"
    case uopBase = "uop_base"
    case accBase = "acc_base"
    case outBase = "out_base"
    case cycles
    case accWrites = "acc_writes"
  }

  package struct Register: Hashable, Sendable {
    package let block: Block
    package let name: Name
    /// Bytes from the start of the block.
    package let offset: Int
    package let meaning: String
    /// Names of single bits, by position.
    package let bits: [Int: String]

    /// `compute.done`
    package var description: String { "\(block.rawValue).\(name.rawValue)" }
  }

  package enum Value: Hashable, Sendable {
    case constant(UInt32)
    case instructionCount
    /// In bytes, as the accelerator sees it.
    case instructionAddress
  }

  package struct Write: Hashable, Sendable {
    package let register: Register
    package let value: Value
  }

  /// `hls` or `vcr`, as board descriptions say it.
  package let name: String
  package let blocks: [Block]
  package let registers: [Register]
  /// All that a run needs to be told, in order.
  package let arguments: [Write]
  /// What starts a run once the arguments are written, in order. The first of them makes the accelerator fetch.
  package let starts: [Write]
  /// Reads exactly ``doneValue`` after FINISH.
  package let done: Register
  package let doneValue: UInt32
  /// Nonzero once `done` was written in this run; reading it clears it. The host reads it before the start, and does not
  /// believe `done`, which keeps the value of the last run, before it reads nonzero. `nil`: the start itself clears
  /// `done`. That it is there comes from how the tool generates such registers, not from a board.
  package let doneValid: Register?
  /// Cycles from the start to FINISH; `nil` where the hardware counts none.
  package let cycles: Register?

  package func register(_ name: Name, in block: Block) -> Register? {
    registers.first { $0.block == block && $0.name == name }
  }

  /// Bytes that a block takes.
  package func byteCount(of block: Block) -> Int {
    registers.filter { $0.block == block }.map { $0.offset + 4 }.max() ?? 0
  }

  package static let all = [hls, vcr]
  package static func named(_ name: String) -> RegisterMap? { all.first { $0.name == name } }
}

// MARK: - Tables

extension RegisterMap {
  private typealias Row = (name: Name, offset: Int, meaning: String)

  private static func registers(
    _ block: Block, controlBits: [Int: String], _ rows: [Row]
  ) -> [Register] {
    rows.map { row in
      Register(
        block: block, name: row.name, offset: row.offset, meaning: row.meaning,
        bits: row.name == .control ? controlBits : [:])
    }
  }

  /// Four IPs of the HLS tool on AXI-Lite.
  package static let hls: RegisterMap = {
    let bits = [0: "start", 1: "done", 2: "idle", 3: "ready", 7: "auto_restart"]
    let common: [Row] = [
      (.control, 0x00, "starts the block and tells its state"),
      (.interruptEnable, 0x04, "global interrupt enable; not wired"),
      (.interruptMask, 0x08, "interrupt mask; not wired"),
      (.interruptStatus, 0x0c, "interrupt status; not wired"),
    ]
    let own: [(Block, [Row])] = [
      (
        .fetch,
        [
          (.instructionCount, 0x10, "number of instructions"),
          (.instructionAddress, 0x18, "byte address of the instructions"),
        ]
      ),
      (
        .load,
        [
          (.inpBase, 0x10, "byte address that LOAD INP counts from"),
          (.wgtBase, 0x18, "byte address that LOAD WGT counts from"),
        ]
      ),
      (
        .compute,
        [
          (.doneInput, 0x10, "input half of done; unused"),
          (.done, 0x18, "1 after FINISH, until the next run's first compute instruction"),
          (.doneValid, 0x1c, "1 once done was written; cleared by reading"),
          (.uopBase, 0x20, "byte address that LOAD UOP counts from"),
          (.accBase, 0x28, "byte address that LOAD ACC counts from"),
        ]
      ),
      (.store, [(.outBase, 0x10, "byte address that STORE counts from")]),
    ]
    let arguments: [(Block, Name, Value)] = [
      (.fetch, .instructionCount, .instructionCount),
      (.fetch, .instructionAddress, .instructionAddress),
      (.load, .inpBase, .constant(0)),
      (.load, .wgtBase, .constant(0)),
      (.compute, .uopBase, .constant(0)),
      (.compute, .accBase, .constant(0)),
      (.store, .outBase, .constant(0)),
    ]
    // Fetch runs once; the others start again by themselves whenever they have served what fetch gave them.
    let starts: [(Block, Name, Value)] = [
      (.fetch, .control, .constant(0x01)),
      (.load, .control, .constant(0x81)),
      (.compute, .control, .constant(0x81)),
      (.store, .control, .constant(0x81)),
    ]
    return RegisterMap(
      name: "hls", registers: own.flatMap { registers($0, controlBits: bits, common + $1) },
      arguments: arguments, starts: starts, done: (.compute, .done), doneValue: 1,
      doneValid: (.compute, .doneValid), cycles: nil)
  }()

  /// One block of the Chisel hardware with 32-bit memory addresses.
  package static let vcr = RegisterMap(
    name: "vcr",
    registers: registers(
      .vcr, controlBits: [0: "launch", 1: "finish"],
      [
        (.control, 0x00, "launch starts a run; reads 2 after FINISH"),
        (.cycles, 0x04, "cycles from launch to FINISH"),
        (.instructionCount, 0x08, "number of instructions"),
        (.instructionAddress, 0x0c, "byte address of the instructions"),
        (.uopBase, 0x10, "byte address, OR-ed with that of LOAD UOP"),
        (.inpBase, 0x14, "byte address, OR-ed with that of LOAD INP"),
        (.wgtBase, 0x18, "byte address, OR-ed with that of LOAD WGT"),
        (.accBase, 0x1c, "byte address, OR-ed with that of LOAD ACC"),
        (.outBase, 0x20, "byte address, OR-ed with that of STORE"),
        (.accWrites, 0x24, "accumulator writes of the run"),
      ]),
    arguments: [
      (.vcr, .cycles, .constant(0)),
      (.vcr, .instructionCount, .instructionCount),
      (.vcr, .instructionAddress, .instructionAddress),
      (.vcr, .uopBase, .constant(0)),
      (.vcr, .inpBase, .constant(0)),
      (.vcr, .wgtBase, .constant(0)),
      (.vcr, .accBase, .constant(0)),
      (.vcr, .outBase, .constant(0)),
    ],
    starts: [(.vcr, .control, .constant(1))],
    done: (.vcr, .control), doneValue: 2, doneValid: nil, cycles: (.vcr, .cycles))

  private typealias WriteRow = (block: Block, name: Name, value: Value)

  /// - Precondition: the rows name registers of the table.
  private init(
    name: String, registers: [Register], arguments: [WriteRow], starts: [WriteRow],
    done: (Block, Name), doneValue: UInt32, doneValid: (Block, Name)?, cycles: (Block, Name)?
  ) {
    func register(_ block: Block, _ name: Name) -> Register {
      guard let found = registers.first(where: { $0.block == block && $0.name == name }) else {
        preconditionFailure("no register \(block.rawValue).\(name.rawValue)")
      }
      return found
    }
    self.name = name
    self.registers = registers
    blocks = Block.allCases.filter { block in registers.contains { $0.block == block } }
    self.arguments = arguments.map { Write(register: register($0.block, $0.name), value: $0.value) }
    self.starts = starts.map { Write(register: register($0.block, $0.name), value: $0.value) }
    self.done = register(done.0, done.1)
    self.doneValue = doneValue
    self.doneValid = doneValid.map { register($0.0, $0.1) }
    self.cycles = cycles.map { register($0.0, $0.1) }
  }
}
