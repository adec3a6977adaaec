internal import VTAModule

/// Bounds on what a model may declare, so that a small hostile file cannot ask for much.
enum ImportLimits {
  static let opsets: ClosedRange<Int> = 11...24
  /// Bytes of a model file, and of one external data file; protobuf ends at the same number.
  static let fileBytes = Int(Int32.max)
  /// Nodes of a graph; the deepest published networks have some hundreds.
  static let nodes = 4096
  /// Elements of one activation per sample: what a module can hold.
  static let activationElements = ModuleLimits.elementsMax
  static let rank = 8
  /// Kernel and stride of a window, and padding on one side.
  static let windowExtent = 1024
  /// Factor by which an operator enlarges height or width: each means as many operations.
  static let enlargement = 8
  /// Nested messages; the ones the importer reads go seven deep.
  static let messageDepth = 32
}
