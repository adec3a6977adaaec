/// An enumeration that the manifest has too. The switch of `stored` is the only table; reading searches it.
protocol StoredCase: CaseIterable {
  associatedtype Stored: Equatable
  var stored: Stored { get }
}

extension StoredCase {
  /// `nil` for the unspecified value and for values of later versions.
  init?(_ stored: Stored) {
    guard let value = Self.allCases.first(where: { $0.stored == stored }) else { return nil }
    self = value
  }
}

extension DataType: StoredCase {
  var stored: StoredDataType {
    switch self {
    case .bool: .bool
    case .int8: .int8
    case .int16: .int16
    case .int32: .int32
    case .int64: .int64
    case .uint8: .uint8
    case .uint16: .uint16
    case .uint32: .uint32
    case .uint64: .uint64
    case .fp32: .fp32
    case .fp64: .fp64
    }
  }
}

extension Layer.Place: StoredCase {
  var stored: StoredLayer.Place {
    switch self {
    case .accelerator: .accelerator
    case .host: .host
    }
  }
}

extension HostFunction.Kind: StoredCase {
  var stored: StoredStep.Activate.Function {
    switch self {
    case .sigmoid: .sigmoid
    case .tanh: .tanh
    case .hardSigmoid: .hardSigmoid
    case .hardSwish: .hardSwish
    case .elu: .elu
    case .softplus: .softplus
    case .exp: .exp
    }
  }
}

extension Preprocessing.Channels: StoredCase {
  var stored: StoredPreprocessing.Channels {
    switch self {
    case .gray: .gray
    case .rgb: .rgb
    case .bgr: .bgr
    }
  }
}

extension Preprocessing.Layout: StoredCase {
  var stored: StoredPreprocessing.Layout {
    switch self {
    case .nchw: .nchw
    case .nhwc: .nhwc
    }
  }
}
