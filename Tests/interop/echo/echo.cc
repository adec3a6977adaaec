// The least that a gRPC call over a Unix socket costs with Google's own library: the baseline of `make bench-service`.
//
//   echo serve SOCKET                  answers with the bytes of the request, or 64 if there are more than 4096
//   echo call SOCKET BYTES COUNT       prints the round trips in microseconds, one a line

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "echo.grpc.pb.h"

namespace {

class Service final : public echo::Echo::Service {
  grpc::Status Call(grpc::ServerContext*, const echo::Bytes* request, echo::Bytes* answer) override {
    answer->set_data(request->data().size() > 4096 ? std::string(64, 'x') : request->data());
    return grpc::Status::OK;
  }
};

int Serve(const std::string& address) {
  Service service;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.BuildAndStart()->Wait();
  return 0;
}

int Call(const std::string& address, int bytes, int count) {
  auto stub = echo::Echo::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  echo::Bytes request;
  request.set_data(std::string(bytes, 'y'));
  for (int i = 0; i < count; i++) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    echo::Bytes answer;
    const auto start = std::chrono::steady_clock::now();
    const grpc::Status status = stub->Call(&context, request, &answer);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.error_message().c_str());
      return 1;
    }
    std::printf("%.1f\n", took.count());
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::string(arguments[1]) == "serve") return Serve(std::string("unix:") + arguments[2]);
  if (count == 5 && std::string(arguments[1]) == "call")
    return Call(std::string("unix:") + arguments[2], std::atoi(arguments[3]), std::atoi(arguments[4]));
  std::fprintf(stderr, "usage: echo serve SOCKET | echo call SOCKET BYTES COUNT\n");
  return 2;
}
