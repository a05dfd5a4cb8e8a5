// softmax(q k^T / sqrt(64)) v in bf16, for CPUs that multiply pairs of bf16 numbers (AVX512-BF16).
//
// Scores never leave the core: keys and values are seen in tiles that stay in its first cache, and
// each query keeps its largest score, its sum of weights and its weighted values so far, all fp32
// (FlashAttention-2, arXiv:2307.08691). Called from attention.py.

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

constexpr int kPairs = 32;    // pairs of channels of a head; pairs of keys of a tile
constexpr int kVectors = 4;   // registers side by side: 64 channels, or 64 keys
constexpr int kLanes = 16;    // numbers in a register
constexpr int kKeys = 64;     // of a tile
constexpr int kRows = 6;      // queries at a time: their sums and a row of a tile fill the registers
constexpr int kGroups = 4;    // of so many queries that see a tile while it is in the cache
constexpr int kBlock = kGroups * kRows;
constexpr int64_t kWorthThreads = 1 << 16;  // scores; fewer take less time than waking a thread

constexpr float kScale = 1.44269504f / 8;  // log2(e) / sqrt(64): weights are powers of two
constexpr float kNothing = -1e30f;         // score of no key; infinity less infinity is not a number

// The right side of a product. Each 32-bit lane is two rows of one column, as the CPU wants them.
using Tile = __m512i[kPairs][kVectors];

struct PackedTile {
  Tile keys;    // rows: channels; columns: keys
  Tile values;  // rows: keys; columns: channels
};

// A bf16 tensor (batch, heads, tokens, 64); strides in numbers, channels side by side.
struct Tensor {
  uint16_t* data;
  int64_t batch, head, token;
};

// (tokens, 64) of one head.
struct Head {
  uint16_t* data;
  int64_t stride, tokens;

  Head(const Tensor& of, int64_t batch, int64_t head, int64_t count)
      : data(of.data + batch * of.batch + head * of.head), stride(of.token), tokens(count) {}

  uint16_t* operator[](int64_t token) const { return data + token * stride; }
};

// Keys from `first` on, transposed; zeros where there are none.
void pack_keys(const Head& keys, int64_t first, Tile& to) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i rows = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(int(keys.stride)));
  for (int j = 0; j < kVectors; ++j) {
    const int64_t key = first + j * kLanes;
    const auto there = std::clamp<int64_t>(keys.tokens - key, 0, kLanes);
    const __mmask16 mask = (1u << there) - 1;
    for (int p = 0; p < kPairs; ++p)
      to[p][j] = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, rows,
                                             keys.data + key * keys.stride + 2 * p, 2);
  }
}

// Values from `first` on, two tokens interleaved; zeros where there are none.
void pack_values(const Head& values, int64_t first, Tile& to) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(kLanes));
  const auto load = [&](int64_t token, int channel) {
    const __mmask32 mask = token < values.tokens ? ~0u : 0u;
    return _mm512_maskz_loadu_epi16(mask, values[token] + channel);
  };
  for (int p = 0; p < kPairs; ++p)
    for (int half = 0; half < 2; ++half) {
      const __m512i even = load(first + 2 * p, half * kPairs);
      const __m512i odd = load(first + 2 * p + 1, half * kPairs);
      to[p][2 * half] = _mm512_permutex2var_epi16(even, low, odd);
      to[p][2 * half + 1] = _mm512_permutex2var_epi16(even, high, odd);
    }
}

// sums += left times the first `pairs` rows of right, of which the first `Vectors` columns.
template <int Vectors>
inline void multiply(const uint32_t (&left)[kRows][kPairs], const Tile& right, int pairs,
                     __m512 (&sums)[kRows][Vectors]) {
  for (int p = 0; p < pairs; ++p)
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const auto pair = __m512bh(_mm512_set1_epi32(left[i][p]));
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j)
        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], pair, __m512bh(right[p][j]));
    }
}

// 2 to the power of x, to 3e-6: a polynomial of what x is away from a whole number.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 power = _mm512_set1_ps(0.0095828f);
  for (float coefficient : {0.05590633f, 0.24024099f, 0.6931242f, 1.0f})
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(coefficient));
  return _mm512_scalef_ps(power, whole);
}

inline void store_bf16(void* to, __m512 numbers) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), __m256i(_mm512_cvtneps_pbh(numbers)));
}

// Queries side by side, and what they know of the keys seen so far.
class Group {
 public:
  // Takes the queries from `first` on; past the end the last one again.
  void start(const Head& queries, int64_t first) {
    for (int i = 0; i < kRows; ++i) {
      std::memcpy(queries_[i], queries[std::min(first + i, queries.tokens - 1)], sizeof queries_[i]);
      totals_[i] = _mm512_setzero_ps();
      std::fill_n(results_[i], kVectors, _mm512_setzero_ps());
    }
    std::fill_n(largest_, kLanes, kNothing);
  }

  // Looks at a tile of `keys` keys.
  void see(const PackedTile& tile, int keys) {
    const int vectors = (keys + kLanes - 1) / kLanes;
    const __mmask16 there = 0xffff >> (vectors * kLanes - keys);
    switch (vectors) {
      case 1: return see<1>(tile, there);
      case 2: return see<2>(tile, there);
      case 3: return see<3>(tile, there);
      case 4: return see<4>(tile, there);
    }
  }

  void write(int row, uint16_t* out) const {
    const __m512 total = _mm512_set1_ps(_mm512_reduce_add_ps(totals_[row]));
    for (int j = 0; j < kVectors; ++j)
      store_bf16(out + j * kLanes, _mm512_div_ps(results_[row][j], total));
  }

 private:
  // `there`: the lanes of the last vector that are keys.
  template <int Vectors>
  void see(const PackedTile& tile, __mmask16 there) {
    __m512 scores[kRows][Vectors] = {};
    multiply(queries_, tile.keys, kPairs, scores);
    for (auto& row : scores)
      row[Vectors - 1] = _mm512_mask_mov_ps(_mm512_set1_ps(kNothing), there, row[Vectors - 1]);

    alignas(64) float fading[kLanes];  // of what was seen before, where the largest score grew
    const __m512 before = _mm512_load_ps(largest_);
    raise_largest(scores);
    _mm512_store_ps(fading, exp2(_mm512_sub_ps(before, _mm512_load_ps(largest_))));

    uint32_t weights[kRows][kPairs];
    weigh(scores, fading, weights);
    __m512 sums[kRows][kVectors];
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kVectors; ++j)
        sums[i][j] = _mm512_mul_ps(results_[i][j], _mm512_set1_ps(fading[i]));
    multiply(weights, tile.values, Vectors * kLanes / 2, sums);
    std::memcpy(results_, sums, sizeof results_);
  }

  template <int Vectors>
  inline void raise_largest(const __m512 (&scores)[kRows][Vectors]) {
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      __m512 most = scores[i][0];
      for (int j = 1; j < Vectors; ++j) most = _mm512_max_ps(most, scores[i][j]);
      largest_[i] = std::max(largest_[i], kScale * _mm512_reduce_max_ps(most));
    }
  }

  template <int Vectors>
  inline void weigh(const __m512 (&scores)[kRows][Vectors], const float (&fading)[kLanes],
                    uint32_t (&weights)[kRows][kPairs]) {
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      totals_[i] = _mm512_mul_ps(totals_[i], _mm512_set1_ps(fading[i]));
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j) {
        const __m512 weight = exp2(_mm512_fmsub_ps(scores[i][j], _mm512_set1_ps(kScale),
                                                   _mm512_set1_ps(largest_[i])));
        totals_[i] = _mm512_add_ps(totals_[i], weight);
        store_bf16(weights[i] + j * kLanes / 2, weight);
      }
    }
  }

  uint32_t queries_[kRows][kPairs];
  __m512 results_[kRows][kVectors];
  __m512 totals_[kRows];
  alignas(64) float largest_[kLanes];  // of the scores, scaled; the first kRows are used
};

// The queries from `first` on, as many as a block has.
void attend_block(const Head& queries, int64_t first, const PackedTile* tiles, int64_t keys,
                  const Head& out) {
  Group groups[kGroups];
  const int count = std::min<int64_t>(kBlock, queries.tokens - first);
  const int used = (count + kRows - 1) / kRows;
  for (int g = 0; g < used; ++g) groups[g].start(queries, first + g * kRows);
  for (int64_t key = 0; key < keys; key += kKeys)
    for (int g = 0; g < used; ++g)
      groups[g].see(tiles[key / kKeys], std::min<int64_t>(kKeys, keys - key));
  for (int i = 0; i < count; ++i) groups[i / kRows].write(i % kRows, out[first + i]);
}

}  // namespace

// Bytes that `da3_attend` needs as room, aligned to 64.
extern "C" int64_t da3_attend_room(int64_t batch, int64_t heads, int64_t keys) {
  return batch * heads * ((keys + kKeys - 1) / kKeys) * sizeof(PackedTile);
}

// q, out: (batch, heads, queries, 64); k, v: (batch, heads, keys, 64).
extern "C" void da3_attend(Tensor q, Tensor k, Tensor v, Tensor out, int64_t batch, int64_t heads,
                           int64_t queries, int64_t keys, void* room, int threads) {
  auto* packed = static_cast<PackedTile*>(room);
  const int64_t tiles = (keys + kKeys - 1) / kKeys;
  const int64_t blocks = (queries + kBlock - 1) / kBlock;
#pragma omp parallel num_threads(threads) if (batch * heads * queries * keys > kWorthThreads)
  {
#pragma omp for schedule(dynamic, 8)
    for (int64_t i = 0; i < batch * heads * tiles; ++i) {
      const int64_t b = i / tiles / heads, h = i / tiles % heads, first = i % tiles * kKeys;
      pack_keys(Head(k, b, h, keys), first, packed[i].keys);
      pack_values(Head(v, b, h, keys), first, packed[i].values);
    }
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < batch * heads * blocks; ++i) {
      const int64_t head = i / blocks, b = head / heads, h = head % heads;
      attend_block(Head(q, b, h, queries), i % blocks * kBlock, packed + head * tiles, keys,
                   Head(out, b, h, queries));
    }
  }
}
