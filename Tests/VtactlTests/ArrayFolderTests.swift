import Testing

@testable import vtactl

@Suite struct ArrayFolderTests {
  @Test func namesOfFiles() {
    #expect(ArrayFolder.fileName("block1/Relu:0") == "block1_Relu_0.npy")
    #expect(ArrayFolder.fileName("A-z_9.x") == "A-z_9.x.npy")
    #expect(ArrayFolder.fileName("é ½") == "_____.npy", "bytes, not characters")
    #expect(throws: Failure.self) { try ArrayFolder.checkNames(["a/b", "a:b"]) }
  }
}
