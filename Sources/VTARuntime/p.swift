package func pVTARuntime() {}
