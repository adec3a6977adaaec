internal import GRPCNIOTransportHTTP2
internal import GRPCProtobuf
internal import ServiceLifecycle
internal import Configuration
package func ps() {}
