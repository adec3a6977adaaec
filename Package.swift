// swift-tools-version: 6.2
import PackageDescription

// A target exists only where it has a dependency, a privilege or a binary that no other target has. Imports point
// one way: VTA <- VTAModule <- {VTACompiler, VTARuntime} <- VTAService <- {vtad, vtactl}

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: .error),
]

let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "vta",
  products: [
    .executable(name: "vtad", targets: ["vtad"]),
    .executable(name: "vtactl", targets: ["vtactl"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
    .package(url: "https://github.com/apple/swift-system.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", from: "2.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
    .package(url: "https://github.com/apple/swift-http-types.git", from: "1.0.0"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.20.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.30.0"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.2.0"),
  ],
  targets: [
    .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
    .systemLibrary(name: "CLibPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(
      name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
    .systemLibrary(name: "CLibUSB", pkgConfig: "libusb-1.0", providers: [.apt(["libusb-1.0-0-dev"])]),
    .systemLibrary(name: "CLibZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),

    .target(name: "CVTALinux"),
    .target(
      name: "CVTAZlib", cSettings: [.enableWarning("all"), .treatAllWarnings(as: .error)],
      linkerSettings: [.linkedLibrary("z")]),
    .target(name: "CVTAKernels", cSettings: [.enableWarning("all"), .treatAllWarnings(as: .error)]),
    .target(name: "VTA", dependencies: ["CVTAKernels"], swiftSettings: settings),
    .target(
      name: "VTAModule", dependencies: ["VTA", protobuf, crypto, systemPackage],
      exclude: ["Protos"], swiftSettings: settings),
    .target(
      name: "VTACompiler", dependencies: ["VTA", "VTAModule", protobuf, systemPackage],
      exclude: ["Import/Protos"], swiftSettings: settings),
    .target(
      name: "VTARuntime", dependencies: ["VTA", "VTAModule", "CVTALinux", log, crypto, systemPackage],
      resources: [.embedInCode("Boards/Descriptions"), .embedInCode("Bitstreams/manifest.json")],
      swiftSettings: settings),
    // A board beneath the driver: implements its protocol of kernel calls.
    .target(
      name: "VTASimulatedBoard", dependencies: ["VTA", "VTARuntime", "CVTALinux", systemPackage],
      swiftSettings: settings),
    .target(
      name: "VTAService",
      dependencies: [
        "VTA", "VTAModule", "VTARuntime", "CVTALinux", "CSystemd", "CVTAZlib", protobuf, log, systemPackage,
        crypto,
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOHPACK", package: "swift-nio-http2"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOFoundationCompat", package: "swift-nio"),
        .product(name: "X509", package: "swift-certificates"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
      ],
      exclude: ["Protos"], swiftSettings: settings),
    .target(name: "VTAJTAG", dependencies: ["CLibUSB"], swiftSettings: settings),
    .executableTarget(
      name: "vtad",
      dependencies: ["VTAModule", "VTARuntime", "VTASimulatedBoard", "VTAService", arguments, log],
      swiftSettings: settings),
    .executableTarget(
      name: "vtactl",
      dependencies: [
        "VTA", "VTAModule", "VTACompiler", "VTARuntime", "VTASimulatedBoard", "VTAService", "VTAJTAG",
        "CLibPNG", "CTurboJPEG", "CLibZip", arguments, log, systemPackage, crypto,
      ], swiftSettings: settings),

    // Fuzzed decoders and broken programs: `make fuzz`, `make mutate`, and a slice of both in the tests.
    .target(
      name: "VTACampaign",
      dependencies: ["VTA", "VTAModule", "VTACompiler", "VTARuntime", "VTAJTAG", crypto, systemPackage],
      path: "Tests/VTACampaign", swiftSettings: settings),
    .executableTarget(
      name: "vta-campaign", dependencies: ["VTA", "VTACampaign", arguments], path: "Tests/vta-campaign",
      swiftSettings: settings),
    // Plays a board's accelerator in a file that a virtual machine sees as device memory: `make test-qemu`.
    .executableTarget(
      name: "vta-device-player", dependencies: ["CVTALinux", "VTARuntime", "VTASimulatedBoard", arguments],
      path: "Tests/vta-device-player", swiftSettings: settings),
    .testTarget(name: "VTACampaignTests", dependencies: ["VTACampaign"], swiftSettings: settings),

    // USB cables and the chains behind them, played beneath VTAJTAG.
    .target(
      name: "VTACableModels", dependencies: ["VTAJTAG"], path: "Tests/VTACableModels", swiftSettings: settings
    ),
    // Plugs them into a kernel: `make test-qemu`.
    .executableTarget(
      name: "vta-cable-player", dependencies: ["VTAJTAG", "VTACableModels", arguments],
      path: "Tests/vta-cable-player", swiftSettings: settings),
    .testTarget(
      name: "VTAJTAGTests", dependencies: ["VTA", "VTAJTAG", "VTACableModels"], swiftSettings: settings),

    .testTarget(name: "VTATests", dependencies: ["VTA"], swiftSettings: settings),
    .testTarget(
      name: "VtactlTests",
      dependencies: ["VTAModule", "VTARuntime", "VTAJTAG", "VTACableModels", "vtactl", "CTurboJPEG"],
      swiftSettings: settings),
    .testTarget(
      name: "VTACompilerTests", dependencies: ["VTA", "VTAModule", "VTACompiler", systemPackage, protobuf],
      swiftSettings: settings),
    .testTarget(name: "VTAModuleTests", dependencies: ["VTA", "VTAModule", crypto], swiftSettings: settings),
    .testTarget(
      name: "VTARuntimeTests",
      dependencies: ["VTA", "VTAModule", "VTARuntime", "VTASimulatedBoard", systemPackage],
      swiftSettings: settings),
    .testTarget(
      name: "VTASimulatedBoardTests",
      dependencies: ["VTA", "VTAModule", "VTACompiler", "VTARuntime", "VTASimulatedBoard", systemPackage],
      swiftSettings: settings),
    .testTarget(
      name: "VTAServiceTests",
      dependencies: [
        "VTA", "VTAModule", "VTARuntime", "VTAService", "CVTALinux", "vtad", protobuf, log,
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
      ], swiftSettings: settings),
  ]
)

// Only links with the fuzzer's runtime: swift build --sanitize fuzzer, as `make fuzz` does.
if Context.environment["VTA_FUZZ"] != nil {
  package.targets += [
    .executableTarget(
      name: "vta-fuzz",
      dependencies: ["VTAModule", "VTACampaign", "CLibPNG", "CTurboJPEG", "CLibZip"],
      path: "Tests/vta-fuzz", swiftSettings: settings)
  ]
}
