/// Chains of the boards that VTA runs on, in the order from TDI to TDO.
package enum BoardModel {
  package static func zynq7000(idcode: UInt32 = 0x2372_7093) -> (JTAGWires, Zynq7000Model) {
    let fpga = Zynq7000Model(idcode: idcode)
    return (JTAGWires([DebugPortModel(idcode: 0x4BA0_0477), fpga]), fpga)
  }

  package static func zynqMP(idcode: UInt32 = 0x1471_0093, isHidden: Bool = false) -> (JTAGWires, ZynqMPModel)
  {
    let device = ZynqMPModel(idcode: idcode, isHidden: isHidden)
    return (JTAGWires([device, device.port]), device)
  }

  package static func cycloneV(expectedBytes: Int, hertz: Int) -> (JTAGWires, CycloneVModel) {
    let fpga = CycloneVModel(idcode: 0x02D0_20DD, expectedBytes: expectedBytes, hertz: hertz)
    return (JTAGWires([fpga, DebugPortModel(idcode: 0x4BA0_0477)]), fpga)
  }

  package static func strangers(_ devices: [(idcode: UInt32?, instructionLength: Int)]) -> JTAGWires {
    JTAGWires(devices.map { StrangerModel(idcode: $0.idcode, instructionLength: $0.instructionLength) })
  }
}

extension JTAGWires {
  /// - Parameter devices: from TDI to TDO.
  package static func chain(_ devices: [TAPModel]) -> JTAGWires { JTAGWires(devices) }
}
