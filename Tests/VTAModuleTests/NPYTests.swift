import Testing

@testable import VTA
@testable import VTAModule

@Suite struct NPYTests {
  /// `numpy.save` of `numpy.array([[1.5, -2.0]], dtype="<f4")`, byte by byte.
  @Test func readsAndWritesWhatNumPyWrites() throws {
    let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
    let header = dictionary + String(repeating: " ", count: 118 - dictionary.count - 1) + "\n"
    let file: [UInt8] =
      [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(header.utf8) + [0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]
    let tensor = Tensor([1.5, -2], shape: [1, 2])
    #expect(try NPY.decode(file) == tensor)
    #expect(NPY.encode(tensor) == file)
  }

  @Test(arguments: DataType.allCases, [[], [0], [3], [2, 0, 4], [1, 2, 3]]) func roundTrip(
    type: DataType, shape: [Int]
  ) throws {
    let count = try #require(Tensor.byteCount(of: shape, type))
    let tensor = Tensor(dataType: type, shape: shape, bytes: (0..<count).map { UInt8($0) })
    #expect(try NPY.decode(NPY.encode(tensor)) == tensor)
  }

  @Test func shapesOfTheHeaderAreNotBelieved() throws {
    for shape in [
      "(4611686018427387904, 8)", "(-1, -8)", "(99999999999999999999,)", "(1, x)", "(7,)", "((2,),)",
    ] {
      let header = "{'descr': '|i1', 'fortran_order': False, 'shape': \(shape), }\n"
      let file = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Array(header.utf8)
      #expect(throws: NPYError.self) { try NPY.decode(file + [UInt8](repeating: 0, count: 8)) }
    }
  }

  @Test func damageIsAnErrorOrATensor() {
    let file = NPY.encode(Tensor((0..<24).map(Float.init), shape: [2, 3, 4]))
    for count in 0..<file.count {
      #expect(throws: NPYError.self) { try NPY.decode(Array(file[..<count])) }
    }
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<20000 {
      var damaged = file
      damaged[Int.random(in: 0..<128, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      _ = try? NPY.decode(damaged)
    }
  }
}
