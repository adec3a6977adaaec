package import GRPCCore
internal import VTAModule
internal import VTARuntime

/// The one place where an error gets the status that a client sees.
extension ServiceError {
  /// What an error of any layer means to the caller.
  init(_ error: any Error) {
    switch error {
    case let error as ServiceError: self = error
    case let error as VTARuntime.RuntimeError: self.init(error)
    case let error as DeviceError: self.init(error)
    case let error as ModuleError: self.init(.invalidArgument, "\(error)")
    case let error as FileError: self.init(.failedPrecondition, "\(error)")
    case is CancellationError: self.init(.cancelled, "the call was cancelled before its run was done")
    default: self.init(.internal, "\(error)")
    }
  }

  private init(_ error: VTARuntime.RuntimeError) {
    let kind: Kind =
      switch error {
      case .unknownInput, .missingInput, .wrongDataType, .wrongShape, .differentBatches, .tooManySamples:
        .invalidArgument
      case .invalidModule, .programRefused: .invalidArgument
      case .deadlineExceeded: .deadlineExceeded
      case .queueFull: .resourceExhausted
      case .modelUnloaded: .notFound
      }
    self.init(kind, error.description)
  }

  private init(_ error: DeviceError) {
    let kind: Kind =
      switch error {
      case .unknownDevice, .unusableTarget, .unknownBoard: .invalidArgument
      case .wrongTarget, .unsupportedTarget, .noBoard, .memoryUnusable, .fpga, .bitstreamUnusable:
        .failedPrecondition
      case .outOfMemory, .threadFailed: .resourceExhausted
      case .badAccess, .runFailed, .stalled, .unresponsive, .selfTestFailed: .internal
      case .deadlineExceeded: .deadlineExceeded
      case .failed, .closed: .unavailable
      }
    self.init(kind, error.description)
  }
}

extension ServiceError: RPCErrorConvertible {
  package var rpcErrorCode: RPCError.Code {
    switch kind {
    case .invalidArgument: .invalidArgument
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .permissionDenied: .permissionDenied
    case .failedPrecondition: .failedPrecondition
    case .resourceExhausted: .resourceExhausted
    case .unavailable: .unavailable
    case .deadlineExceeded: .deadlineExceeded
    case .cancelled: .cancelled
    case .unimplemented: .unimplemented
    case .internal: .internalError
    }
  }

  package var rpcErrorMessage: String { description }
}
