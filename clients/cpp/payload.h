// Indices as bytes. docs/wire.md, "Write the payload".
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using Indices = std::vector<int32_t>;
using Sizes = std::vector<int>;

struct Written {
  std::string data;
  bool packed;
};

// Payloads of one model.
struct PayloadCodec {
  Sizes segments;                        // channel groups of each
  int positions;                         // P
  std::vector<std::vector<int>> planes;  // segments that each plane of the chain refines
  std::vector<uint16_t> tables;          // entropy.u16; empty where there is none
  bool any_size = false;
  int largest = 0, d = 0;                // largest_size and latent.d

  int groups() const;
  bool refinable() const { return !planes.empty(); }
  int size(const Sizes& sizes, size_t m) const;                // of sub-vector m
  Sizes sizes_after(size_t count) const;                       // of the point that the first planes are
  Indices reduced(Indices indices, const Sizes& from, const Sizes& to) const;  // of a refinable model
  Written block(const Indices& indices, const Sizes& sizes, bool coded) const;
  Written run(const Indices& indices, int first, int count, bool coded) const;  // at the last point of the chain

 private:
  using Plane = std::vector<std::pair<size_t, int>>;  // sub-vectors and bits, from 1
  Written write(const Indices& indices, const Sizes& depth, const std::vector<Plane>& planes, bool coded) const;
  std::string number(const Indices& indices, const Sizes& sizes) const;
  std::string folded(const Indices& indices, const Sizes& sizes) const;
  std::vector<uint64_t> starts(int group, int size) const;
};

class RangeEncoder {
 public:
  void put_bit(bool bit, uint32_t odds);
  void put(uint64_t start, uint64_t width);  // of 2^24
  std::string end();

 private:
  void settle(bool carry);
  void write(uint32_t word);
  uint64_t lower_ = 0, range_ = UINT64_MAX;
  uint32_t first_ = 0;
  size_t held_ = 0;  // words that a carry may still change
  std::string words_;
};
