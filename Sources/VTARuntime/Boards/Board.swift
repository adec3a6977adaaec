package import VTA

/// A board that can carry an accelerator: what the driver must know of it, as its file in `Configs/boards` says.
package struct Board: Hashable, Sendable {
  /// `ultra96-v2`; the file's name without `.json`.
  package let name: String
  package let title: String
  package let deviceTree: DeviceTree
  /// `xczu3eg-sbva484-1-e`
  package let part: String
  /// Of the FPGA's JTAG port, without the four bits of its version.
  package let idcode: UInt32
  /// What modules for this board are compiled for unless its bitstream says otherwise.
  package let target: Target
  package let registers: Registers
  package let memory: Memory
  /// Width of the accelerator's port to memory.
  package let busBits: Int
  /// Of the accelerator.
  package let clockMegahertz: Int
  package let coherency: Coherency
  /// `nil`: only programming resets the accelerator.
  package let reset: ResetLine?
  package let configuration: Configuration

  /// What tells this board from others in `/proc/device-tree`.
  package struct DeviceTree: Hashable, Sendable {
    /// Entries of `compatible`.
    package let compatible: [String]
    /// Contents of `model`.
    package let models: [String]
    /// Contents of `chosen/pynq_board`, by which PYNQ's images name the board.
    package let pynqBoards: [String]
  }

  package struct Registers: Hashable, Sendable {
    package let map: RegisterMap
    /// One for each block of the map.
    package let bases: [RegisterMap.Block: PhysicalAddress]
    /// Bytes that each block is given on the bus; a multiple of the page size.
    package let window: UInt64
  }

  /// Which memory the accelerator reaches, and where it sees it.
  package struct Memory: Hashable, Sendable {
    /// End of the reachable memory, counted from physical address 0.
    package let limit: PhysicalAddress
    /// What the accelerator adds to a physical address.
    package let deviceOffset: UInt64

    package func reaches(_ address: PhysicalAddress, byteCount: UInt64) -> Bool {
      address.rawValue <= limit.rawValue && byteCount <= limit.rawValue - address.rawValue
    }

    /// - Precondition: the window reaches the address.
    package func deviceAddress(of address: PhysicalAddress) -> DeviceAddress {
      DeviceAddress(address.rawValue + deviceOffset)
    }
  }

  /// Whether the accelerator sees what the CPU has in its caches. A board can only say what must hold for that; whether it
  /// does, the self-test of the start-up decides.
  package struct Coherency: Hashable, Sendable {
    /// The port that the accelerator is wired to.
    package let port: String
    /// What boot software must have set for the port to be coherent.
    package let needs: [RegisterBits]
  }

  /// Bits of a system register of the SoC.
  package struct RegisterBits: Hashable, Sendable {
    package let address: PhysicalAddress
    package let mask: UInt32
    /// Zero outside the mask.
    package let value: UInt32
    package let reason: String
    /// Linux's access to it can be a bus error.
    package let isSecureOnly: Bool
  }

  /// A line that resets the programmable logic alone.
  package struct ResetLine: Hashable, Sendable {
    /// Label of the GPIO chip in Linux.
    package let chip: String
    package let line: UInt32
    package let isActiveLow: Bool
    package let pulseMicroseconds: Int
    /// When it must not be used.
    package let caution: String
  }

  /// How a bitstream gets into the FPGA under Linux, and what to put right afterwards.
  package struct Configuration: Hashable, Sendable {
    package enum Family: String, Hashable, Sendable, CaseIterable {
      case zynq7000 = "zynq-7000"
      case zynqUltraScale = "zynq-ultrascale+"
      case cycloneV = "cyclone-v"
    }

    package let family: Family
    /// FPGA bridges that must be enabled before a register is touched, by their names in `/sys/class/fpga_bridge`.
    package let bridges: [String]
    /// What Linux does not set for a bitstream other than that of the boot.
    package let corrections: [RegisterBits]
    /// What a bitstream takes that is not compressed; `nil`: not known.
    package let uncompressedByteCount: Int?
  }
}
