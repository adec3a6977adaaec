import Foundation
import SwiftProtobuf

@testable import VTACompiler

/// Small ONNX files, mostly wrong ones, built message by message.
struct ONNXSketch {
  var model = ONNXModelProto()

  /// An input `x` of `N×3×8×8` and an output `y`.
  init(opset: Int64 = 17) {
    var operators = ONNXOperatorSetIdProto()
    operators.version = opset
    model.opsetImport = [operators]
    model.graph.input = [Self.value("x", [nil, 3, 8, 8])]
    model.graph.output = [Self.value("y", [])]
  }

  /// - Parameter shape: `nil` for a symbolic extent.
  static func value(_ name: String, _ shape: [Int64?]) -> ONNXValueInfoProto {
    var value = ONNXValueInfoProto()
    value.name = name
    value.type.tensorType.elemType = Int32(TensorElementType.float)
    value.type.tensorType.shape.dim = shape.enumerated().map { axis, extent in
      var dimension = ONNXTensorShapeProto.Dimension()
      if let extent { dimension.dimValue = extent } else { dimension.dimParam = "axis\(axis)" }
      return dimension
    }
    return value
  }

  mutating func add(
    _ type: String, _ inputs: [String], _ output: String, name: String = "the_node", domain: String = ""
  ) {
    var node = ONNXNodeProto()
    (node.opType, node.input, node.output, node.name, node.domain) = (type, inputs, [output], name, domain)
    model.graph.node.append(node)
  }

  /// Float weights `w`; `count` elements are there whatever the extents say.
  mutating func addWeights(_ dims: [Int64], count: Int) {
    var tensor = ONNXTensorProto()
    (tensor.name, tensor.dims, tensor.dataType) = ("w", dims, Int32(TensorElementType.float))
    tensor.rawData = Data(count: 4 * count)
    model.graph.initializer.append(tensor)
  }

  mutating func addExternalWeights(_ dims: [Int64], location: String, offset: String = "0") {
    addWeights(dims, count: 0)
    model.graph.initializer[0].dataLocation = .external
    model.graph.initializer[0].externalData = [("location", location), ("offset", offset)].map { pair in
      var entry = ONNXStringStringEntryProto()
      (entry.key, entry.value) = pair
      return entry
    }
  }

  func bytes() throws -> [UInt8] { try model.serializedBytes() }
}
