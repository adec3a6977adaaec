/// A bitstream as the FPGA takes it over JTAG.
package struct ConfigurationImage: Sendable {
  package enum Format: Equatable, Sendable {
    /// AMD's: words as in a `.bit` file; the most significant bit of each byte goes first.
    case words
    /// Intel's: the least significant bit of each byte goes first. It does not say for which part it is.
    case rbf
  }

  package let format: Format
  /// As the file's header names it; `nil` if it has no header.
  package let part: String?
  /// Of the device that the data itself names; `nil` if it doesn't.
  package let idcode: UInt32?
  /// What follows the header, in the order of the file.
  package let payload: ArraySlice<UInt8>

  package init(format: Format, part: String?, idcode: UInt32?, payload: ArraySlice<UInt8>) {
    self.format = format
    self.part = part
    self.idcode = idcode
    self.payload = payload
  }

  /// - Parameter idcode: of the device in the chain.
  /// - Throws: if the image is not for this device.
  package func check(for model: DeviceModel, idcode: UInt32) throws(JTAGError) {
    switch (model.family, format) {
    case (.zynq7000, .words), (.zynqMP, .words):
      let isNamed = part.map(model.accepts(part:)) ?? (self.idcode != nil)
      guard isNamed, self.idcode.map({ DeviceModel.with(idcode: $0) == model }) ?? true else {
        throw .wrongPart(file: fileDevice, device: model.name, idcode: idcode)
      }
    case (.zynq7000, .rbf), (.zynqMP, .rbf):
      throw .wrongFormat(device: model.name, needs: "a .bit or .bin file")
    case (.cycloneV, .rbf): return
    case (.cycloneV, .words): throw .wrongFormat(device: model.name, needs: "an .rbf file")
    case (.debugPort, _):
      throw .wrongFormat(device: model.name, needs: "no bitstream; it is a processor's debug port")
    }
  }

  private var fileDevice: String {
    part ?? idcode.map { DeviceModel.with(idcode: $0)?.name ?? "IDCODE \(JTAGError.hex($0))" }
      ?? "a part that it does not name"
  }
}
