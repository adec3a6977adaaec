private import FoundationEssentials
private import VTA

/// Board descriptions as JSON. Addresses, masks and codes are strings such as `"0xa0000000"`.
extension Board {
  /// - Parameter json: the bytes of a board description.
  package init(json: [UInt8]) throws(BoardError) {
    let file: File
    do {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      file = try decoder.decode(File.self, from: Data(json))
    } catch let error as DecodingError {
      throw BoardError.malformed(reason: error.reason)
    } catch {
      throw BoardError.malformed(reason: "\(error)")
    }
    self = try file.board()
  }

  private struct File: Decodable {
    struct DeviceTree: Decodable {
      var compatible: [String]?
      var models: [String]?
      var pynqBoards: [String]?
    }

    struct Memory: Decodable {
      var limit: Hexadecimal
      var deviceOffset: Hexadecimal?
    }

    struct Coherency: Decodable {
      var port: String
      var needs: [Bits]?
    }

    struct Bits: Decodable {
      var address: Hexadecimal
      var mask: Hexadecimal
      var value: Hexadecimal
      var reason: String
      var secureOnly: Bool?

      func bits(_ key: String) throws(BoardError) -> RegisterBits {
        guard address.value % 4 == 0, let mask = UInt32(exactly: mask.value),
          let value = UInt32(exactly: value.value), value & ~mask == 0
        else {
          throw .malformed(
            reason: "\(key) has an address off a word, or a value of more bits than its mask")
        }
        return RegisterBits(
          address: PhysicalAddress(address.value), mask: mask, value: value, reason: reason,
          isSecureOnly: secureOnly ?? false)
      }
    }

    struct Reset: Decodable {
      var chip: String
      var line: UInt32
      var activeLow: Bool
      var pulseMicroseconds: Int
      var caution: String
    }

    struct Configuration: Decodable {
      var family: String
      var bridges: [String]?
      var corrections: [Bits]?
      var uncompressedByteCount: Int?
    }

    var name: String
    var title: String
    var deviceTree: DeviceTree
    var part: String
    var idcode: Hexadecimal
    var target: String
    var registers: Board.Registers.File
    var memory: Memory
    var busBits: Int
    var clockMhz: Int
    var coherency: Coherency
    var reset: Reset?
    var configuration: Configuration

    func board() throws(BoardError) -> Board {
      guard let target = Target.named(target) else {
        throw .malformed(
          reason: "target \(target) is none of \(Target.named.map(\.name).joined(separator: ", "))")
      }
      guard let family = Board.Configuration.Family(rawValue: configuration.family) else {
        let known = Board.Configuration.Family.allCases.map(\.rawValue).joined(separator: ", ")
        throw .malformed(reason: "configuration.family \(configuration.family) is none of \(known)")
      }
      guard let idcode = UInt32(exactly: idcode.value) else {
        throw .malformed(reason: "idcode has more than 32 bits")
      }
      let offset = memory.deviceOffset?.value ?? 0
      guard memory.limit.value > 0, memory.limit.value <= 1 << 32, offset <= 1 << 32 - memory.limit.value
      else {
        throw .malformed(reason: "memory lies outside the 4 GiB that an accelerator addresses")
      }
      guard (8...1024).contains(busBits), busBits.nonzeroBitCount == 1, (1...10_000).contains(clockMhz)
      else {
        throw .malformed(reason: "bus_bits or clock_mhz is out of range")
      }
      if let reset, !(1...1_000_000).contains(reset.pulseMicroseconds) {
        throw .malformed(reason: "reset.pulse_microseconds is out of range")
      }
      var needs: [RegisterBits] = []
      for bits in coherency.needs ?? [] { needs.append(try bits.bits("coherency.needs")) }
      var corrections: [RegisterBits] = []
      for bits in configuration.corrections ?? [] {
        corrections.append(try bits.bits("configuration.corrections"))
      }
      return Board(
        name: name, title: title,
        deviceTree: Board.DeviceTree(
          compatible: deviceTree.compatible ?? [], models: deviceTree.models ?? [],
          pynqBoards: deviceTree.pynqBoards ?? []),
        part: part, idcode: idcode, target: target,
        registers: try Board.Registers(registers),
        memory: Board.Memory(limit: PhysicalAddress(memory.limit.value), deviceOffset: offset),
        busBits: busBits, clockMegahertz: clockMhz,
        coherency: Board.Coherency(port: coherency.port, needs: needs),
        reset: reset.map { reset in
          ResetLine(
            chip: reset.chip, line: reset.line, isActiveLow: reset.activeLow,
            pulseMicroseconds: reset.pulseMicroseconds, caution: reset.caution)
        },
        configuration: Board.Configuration(
          family: family, bridges: configuration.bridges ?? [], corrections: corrections,
          uncompressedByteCount: configuration.uncompressedByteCount))
    }
  }
}

extension Board.Registers {
  private static let pageSize: UInt64 = 4096

  struct File: Decodable {
    var layout: String
    var blocks: [String: Hexadecimal]
    var window: Hexadecimal
  }

  /// - Throws: ``BoardError/malformed(reason:)`` unless the blocks are exactly those of the layout, whole pages each and
  ///   apart from each other.
  init(_ file: File) throws(BoardError) {
    let layout = file.layout
    let blocks = file.blocks.mapValues(\.value)
    let window = file.window.value
    guard let map = RegisterMap.named(layout) else {
      let known = RegisterMap.all.map(\.name).joined(separator: ", ")
      throw .malformed(reason: "registers.layout \(layout) is none of \(known)")
    }
    guard Set(blocks.keys) == Set(map.blocks.map(\.rawValue)) else {
      let names = map.blocks.map(\.rawValue).joined(separator: ", ")
      throw .malformed(reason: "registers.blocks must name the blocks of \(layout): \(names)")
    }
    guard window > 0, window <= 1 << 24, window % Self.pageSize == 0 else {
      throw .malformed(reason: "registers.window is no multiple of \(Self.pageSize) up to 16 MiB")
    }
    let bases = blocks.values.sorted()
    guard bases.allSatisfy({ $0 % Self.pageSize == 0 && $0 <= 1 << 40 }),
      zip(bases, bases.dropFirst()).allSatisfy({ $0 + window <= $1 })
    else {
      throw .malformed(reason: "registers.blocks don't start on pages, or lie in each other")
    }
    self.map = map
    self.window = window
    self.bases = Dictionary(
      uniqueKeysWithValues: map.blocks.compactMap { block in
        blocks[block.rawValue].map { (block, PhysicalAddress($0)) }
      })
  }
}

/// A number written in hexadecimal, as in data sheets: `"0xfd360000"`. Plain numbers are accepted too.
struct Hexadecimal: Decodable {
  let value: UInt64

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let number = try? container.decode(UInt64.self) {
      value = number
      return
    }
    let text = try container.decode(String.self)
    guard text.hasPrefix("0x"), let number = UInt64(text.dropFirst(2), radix: 16) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no 0x… number")
    }
    value = number
  }
}

extension DecodingError {
  /// In one line, with the key: `registers.window is missing`.
  var reason: String {
    func path(_ context: Context, _ more: [any CodingKey] = []) -> String {
      let keys = (context.codingPath + more).map { $0.intValue.map(String.init) ?? $0.stringValue }
      return keys.isEmpty ? "the file" : keys.joined(separator: ".")
    }
    switch self {
    case .keyNotFound(let key, let context): return "\(path(context, [key])) is missing"
    case .typeMismatch(_, let context): return "\(path(context)) has the wrong type"
    case .valueNotFound(_, let context): return "\(path(context)) has no value"
    case .dataCorrupted(let context): return "\(path(context)): \(context.debugDescription)"
    @unknown default: return "\(self)"
    }
  }
}
