internal import GRPCCore
internal import SwiftProtobuf

/// What is generated of a call with one message each way.
protocol UnaryMethod {
  associatedtype Input: Message
  associatedtype Output: Message
  static var descriptor: MethodDescriptor { get }
}

// Those that our client makes.
extension Grpc_Health_V1_Health.Method.Check: UnaryMethod {}

extension Inference_GRPCInferenceService.Method.ModelInfer: UnaryMethod {}
extension Inference_GRPCInferenceService.Method.ModelStatistics: UnaryMethod {}
extension Inference_GRPCInferenceService.Method.RepositoryIndex: UnaryMethod {}
extension Inference_GRPCInferenceService.Method.RepositoryModelLoad: UnaryMethod {}
extension Inference_GRPCInferenceService.Method.RepositoryModelUnload: UnaryMethod {}
extension Inference_GRPCInferenceService.Method.SystemSharedMemoryRegister: UnaryMethod {}

extension Vta_V1_Daemon.Method.Drain: UnaryMethod {}
extension Vta_V1_Daemon.Method.ListBitstreams: UnaryMethod {}
extension Vta_V1_Daemon.Method.ListDevices: UnaryMethod {}
extension Vta_V1_Daemon.Method.ProgramBitstream: UnaryMethod {}
extension Vta_V1_Daemon.Method.RunModule: UnaryMethod {}
extension Vta_V1_Daemon.Method.Status: UnaryMethod {}
extension Vta_V1_Daemon.Method.Undrain: UnaryMethod {}
