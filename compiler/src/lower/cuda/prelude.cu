// What the kernels share. Arithmetic is that of the reference interpreter: minima and maxima of NaN are NaN, integers wrap,
// what is divided by zero is zero, and nothing is contracted that is not written as fma.
// Half-precision numbers are computed with as floats and lie in memory as their bits.

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__

template <class To, class From> DEVICE To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits have the same size");
    union { From from; To to; } both;
    both.from = from;
    return both.to;
}

DEVICE float f16_of(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
DEVICE u16 f16_bits(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
DEVICE float f16_round(float x) { return f16_of(f16_bits(x)); }
DEVICE float bf16_of(u16 bits) { return __uint_as_float((u32)bits << 16); }
DEVICE u16 bf16_bits(float x) {
    u32 bits = __float_as_uint(x);
    return x != x ? (u16)(bits >> 16 | 64) : (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
DEVICE float bf16_round(float x) { return bf16_of(bf16_bits(x)); }
// The float that every narrower type rounds as it would the double.
DEVICE float to_odd(double x) {
    float cut = __double2float_rz(x);
    return (double)cut == x || x != x ? cut : __uint_as_float(__float_as_uint(cut) | 1);
}

DEVICE float minimum(float a, float b) { return a != a || b != b ? __int_as_float(0x7fc00000) : fminf(a, b); }
DEVICE float maximum(float a, float b) { return a != a || b != b ? __int_as_float(0x7fc00000) : fmaxf(a, b); }
DEVICE double minimum(double a, double b) { return a != a || b != b ? __longlong_as_double(0x7ff8000000000000ll) : fmin(a, b); }
DEVICE double maximum(double a, double b) { return a != a || b != b ? __longlong_as_double(0x7ff8000000000000ll) : fmax(a, b); }
template <class T> DEVICE T minimum(T a, T b) { return b < a ? b : a; }
template <class T> DEVICE T maximum(T a, T b) { return b > a ? b : a; }

DEVICE float remainder_of(float a, float b) { return fmodf(a, b); }
DEVICE double remainder_of(double a, double b) { return fmod(a, b); }
template <class T> DEVICE T modulo_of(T a, T b) {
    T r = remainder_of(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
template <class T> DEVICE T sign_of(T x) { return x == 0 || x != x ? x : (T)(x < 0 ? -1 : 1); }

template <class T> DEVICE T quotient(T a, T b) { return b == 0 ? (T)0 : b == (T)-1 && (T)-1 < (T)0 ? (T)(0 - (u64)a) : (T)(a / b); }
template <class T> DEVICE T remainder(T a, T b) { return b == 0 || (b == (T)-1 && (T)-1 < (T)0) ? (T)0 : (T)(a % b); }
template <class T> DEVICE T floor_quotient(T a, T b) {
    T r = remainder(a, b);
    return (T)(quotient(a, b) - (r != 0 && (r < 0) != (b < 0)));
}
template <class T> DEVICE T floor_remainder(T a, T b) {
    T r = remainder(a, b);
    return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r;
}
template <class T> DEVICE T shift_left(T a, T b) { return b < 0 || (u64)b >= 8 * sizeof(T) ? (T)0 : (T)((u64)a << b); }
template <class T> DEVICE T shift_right(T a, T b) { return b < 0 || (u64)b >= 8 * sizeof(T) ? (T)(a < 0 ? -1 : 0) : (T)(a >> b); }
template <class T> DEVICE T power(T base, T exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == (T)-1 ? (exponent % 2 == 0 ? 1 : (T)-1) : 0;
    u64 result = 1, square = (u64)base;
    for (u64 left = (u64)exponent; left > 0; left >>= 1) {
        if (left & 1) result = (u64)(T)(result * square);
        square = (u64)(T)(square * square);
    }
    return (T)result;
}

// Cuts off towards zero, keeps to the ends of the type, and makes NaN zero.
template <class T> DEVICE T cut(double x, i64 low, i64 high) {
    if (x != x) return 0;
    i64 n = __double2ll_rz(x);
    return (T)(n < low ? low : n > high ? high : n);
}
DEVICE u64 cut_u64(double x) { return x != x ? 0 : __double2ull_rz(x); }

struct Sum { template <class T> static DEVICE T of(T a, T b) { return (T)(a + b); } };
struct Product { template <class T> static DEVICE T of(T a, T b) { return (T)(a * b); } };
struct Max { template <class T> static DEVICE T of(T a, T b) { return maximum(a, b); } };
struct Min { template <class T> static DEVICE T of(T a, T b) { return minimum(a, b); } };

// Joins what the threads of a team have, always in the same order; all get the result.
template <int TEAM, class Join, class T> DEVICE T team_join(T own, void *memory) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) own = Join::of(own, (T)__shfl_xor_sync(0xffffffffu, own, distance));
    if (TEAM > 32) {
        T *parts = (T *)memory;
        __syncthreads();
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = own;
        __syncthreads();
        own = parts[0];
        for (int part = 1; part < TEAM / 32; ++part) own = Join::of(own, parts[part]);
    }
    return own;
}
