#ifndef GEMM_KERNELS_H
#define GEMM_KERNELS_H

#include "vta_kernels.h"

void vta_gemm_portable(const vta_gemm *);
#if defined(__x86_64__)
void vta_gemm_avx2(const vta_gemm *);
void vta_gemm_avx512vnni(const vta_gemm *);
double vta_peak_avx512vnni(size_t rounds);
double vta_peak_avx2(size_t rounds);
#elif defined(__aarch64__)
void vta_gemm_neon(const vta_gemm *);
void vta_gemm_neon_dot(const vta_gemm *);
#endif

#endif
