import Testing

@testable import VTARuntime

struct BoardDetectionTests {
  /// Device trees of Linux, U-Boot and PYNQ's images.
  @Test(arguments: [
    (
      ["avnet,ultra96-rev1", "avnet,ultra96", "xlnx,zynqmp-zcu100-revC", "xlnx,zynqmp"], "", "", "ultra96-v1"
    ),
    (["avnet,ultra96-rev2", "avnet,ultra96-rev1", "avnet,ultra96", "xlnx,zynqmp"], "", "", "ultra96-v2"),
    (
      ["xlnx,zynqmp-zcu102-rev1.0", "xlnx,zynqmp-zcu102", "xlnx,zynqmp"], "ZynqMP ZCU102 Rev1.0", "", "zcu102"
    ),
    (["xlnx,zynqmp"], "ZynqMP ZCU104 RevC", "", "zcu104"),
    (["xlnx,zynq-7000"], "Xilinx Zynq", "Pynq-Z2", "pynq-z2"),
    (["altr,socfpga-cyclone5", "altr,socfpga"], "Terasic DE10-Nano", "", "de10-nano"),
    (["terasic,de10-nano", "altr,socfpga-cyclone5", "altr,socfpga"], "", "", "de10-nano"),
  ])
  func boards(compatible: [String], model: String, pynq: String, expected: String) throws {
    let tree = try BoardTree()
    try tree.write(compatible.map { $0 + "\0" }.joined(), to: "/proc/device-tree/compatible")
    if !model.isEmpty { try tree.write(model + "\0", to: "/proc/device-tree/model") }
    if !pynq.isEmpty { try tree.write(pynq + "\0", to: "/proc/device-tree/chosen/pynq_board") }
    guard case .board(let board, _) = Board.detect(on: tree.kernel) else {
      Issue.record("\(expected) is not found")
      return
    }
    #expect(board.name == expected)
  }

  @Test func otherMachines() throws {
    let tree = try BoardTree()
    #expect(Board.detect(on: tree.kernel) == .noDeviceTree)
    try tree.write("raspberrypi,4-model-b\0brcm,bcm2711\0", to: "/proc/device-tree/compatible")
    try tree.write("Raspberry Pi 4\0", to: "/proc/device-tree/model")
    #expect(
      Board.detect(on: tree.kernel)
        == .unknown(model: "Raspberry Pi 4", compatible: ["raspberrypi,4-model-b", "brcm,bcm2711"]))
  }
}
