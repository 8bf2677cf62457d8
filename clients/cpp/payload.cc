#include "payload.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace {

int bits_of(int size) { return std::bit_width(unsigned(size - 1)); }

Written shorter(std::string coded, std::string packed) {
  if (coded.size() < packed.size()) return {std::move(coded), false};
  return {std::move(packed), true};
}

bool bit(int32_t index, int depth, int p) { return index >> (depth - p) & 1; }

// Little-endian: number = number · by + plus.
void multiply(std::vector<uint8_t>& number, uint32_t by, uint32_t plus) {
  uint64_t carry = plus;
  for (auto& byte : number) {
    carry += uint64_t(byte) * by;
    byte = uint8_t(carry);
    carry >>= 8;
  }
  for (; carry; carry >>= 8) number.push_back(uint8_t(carry));
}

}  // namespace

int PayloadCodec::groups() const { return std::accumulate(segments.begin(), segments.end(), 0); }

int PayloadCodec::size(const Sizes& sizes, size_t m) const {
  int group = int(m % groups()), segment = 0;
  while (group >= segments[segment]) group -= segments[segment++];
  return sizes[segment];
}

Sizes PayloadCodec::sizes_after(size_t count) const {
  Sizes sizes(segments.size(), 1);
  for (size_t n = 0; n < count; n++)
    for (int s : planes[n]) sizes[s] *= 2;
  return sizes;
}

Indices PayloadCodec::reduced(Indices indices, const Sizes& from, const Sizes& to) const {
  for (size_t m = 0; m < indices.size(); m++) indices[m] >>= bits_of(size(from, m)) - bits_of(size(to, m));
  return indices;
}

Written PayloadCodec::block(const Indices& indices, const Sizes& sizes, bool coded) const {
  if (any_size && !tables.empty() && coded) return shorter(folded(indices, sizes), block(indices, sizes, false).data);
  if (!std::ranges::all_of(sizes, [](int k) { return std::has_single_bit(unsigned(k)); }))
    return {number(indices, sizes), !tables.empty()};
  Sizes depth(indices.size());
  for (size_t m = 0; m < depth.size(); m++) depth[m] = bits_of(size(sizes, m));
  std::vector<Plane> all(*std::ranges::max_element(depth));
  for (size_t p = 1; p <= all.size(); p++)
    for (size_t m = 0; m < depth.size(); m++)
      if (depth[m] >= int(p)) all[p - 1].emplace_back(m, p);
  return write(indices, depth, all, coded);
}

Written PayloadCodec::run(const Indices& indices, int first, int count, bool coded) const {
  const Sizes last = sizes_after(planes.size());
  Sizes depth(indices.size());
  for (size_t m = 0; m < depth.size(); m++) depth[m] = bits_of(size(last, m));
  std::vector<Plane> all;
  for (int n = first; n < first + count; n++) {
    const Sizes before = sizes_after(n - 1), sizes = sizes_after(n);
    Plane& plane = all.emplace_back();
    for (size_t m = 0; m < depth.size(); m++)
      if (size(sizes, m) > size(before, m)) plane.emplace_back(m, bits_of(size(sizes, m)));
  }
  return write(indices, depth, all, coded);
}

Written PayloadCodec::write(const Indices& indices, const Sizes& depth, const std::vector<Plane>& all, bool coded) const {
  std::string packed;
  for (const Plane& plane : all) {
    std::string bytes((plane.size() + 7) / 8, 0);
    for (size_t n = 0; n < plane.size(); n++)
      if (bit(indices[plane[n].first], depth[plane[n].first], plane[n].second)) bytes[n / 8] |= char(0x80 >> n % 8);
    packed += bytes;
  }
  if (tables.empty() || !coded) return {packed, !tables.empty()};
  RangeEncoder coder;
  for (const Plane& plane : all)
    for (const auto& [m, p] : plane) {
      const size_t before = indices[m] >> (depth[m] - p + 1), table = refinable() ? 0 : depth[m] - 1;
      coder.put_bit(bit(indices[m], depth[m], p), tables[(table * groups() + m % groups()) * 255 + (size_t(1) << (p - 1)) - 1 + before]);
    }
  return shorter(coder.end(), packed);
}

std::string PayloadCodec::folded(const Indices& indices, const Sizes& sizes) const {
  RangeEncoder coder;
  for (int g = 0; g < groups(); g++) {
    if (size(sizes, g) < 2) continue;
    const auto start = starts(g, size(sizes, g));
    for (size_t m = g; m < indices.size(); m += groups()) coder.put(start[indices[m]], start[indices[m] + 1] - start[indices[m]]);
  }
  return coder.end();
}

// Where each of `size` symbols of a channel group begins, of 2^24, and the end.
std::vector<uint64_t> PayloadCodec::starts(int group, int size) const {
  const uint16_t* counts = &tables[size_t(group) * largest];
  const uint16_t* rows = &tables[size_t(groups()) * largest + size_t(group) * largest * d];
  std::vector<uint64_t> count(counts, counts + size);
  for (int j = size; j < largest; j++) {
    int nearest = 0;
    int64_t least = INT64_MAX;
    for (int k = 0; k < size; k++) {
      int64_t distance = 0;
      for (int c = 0; c < d; c++) {
        const int64_t apart = int64_t(rows[k * d + c]) - rows[j * d + c];
        distance += apart * apart;
      }
      if (distance < least) {
        least = distance;
        nearest = k;
      }
    }
    count[nearest] += counts[j];
  }
  const uint64_t total = std::accumulate(count.begin(), count.end(), uint64_t(0));
  std::vector<uint64_t> start;
  uint64_t before = 0;
  for (int k = 0; k < size; k++) {
    start.push_back(k + ((1 << 24) - uint64_t(size)) * before / total);
    before += count[k];
  }
  start.push_back(1 << 24);
  return start;
}

std::string PayloadCodec::number(const Indices& indices, const Sizes& sizes) const {
  std::vector<uint8_t> value, product{1};
  for (size_t m = 0; m < indices.size(); m++)
    if (const int k = size(sizes, m); k > 1) {
      multiply(value, k, indices[m]);
      multiply(product, k, 0);
    }
  for (size_t n = 0; product[n]-- == 0; n++) {}  // less one
  while (!product.empty() && product.back() == 0) product.pop_back();
  value.resize(product.size());
  return {value.rbegin(), value.rend()};
}

void RangeEncoder::put_bit(bool bit, uint32_t odds) {
  const uint64_t zero = (uint64_t(65536 - odds) * 16777214 >> 16) + 1;
  if (bit)
    put(zero, (1 << 24) - zero);
  else
    put(0, zero);
}

void RangeEncoder::put(uint64_t start, uint64_t width) {
  const uint64_t unit = range_ >> 24, lower = lower_ + unit * start;
  range_ = unit * width;
  if (held_ && lower + range_ > lower) settle(lower < lower_);
  lower_ = lower;
  if (range_ >> 32) return;
  const uint32_t word = uint32_t(lower_ >> 32);
  lower_ <<= 32;
  range_ <<= 32;
  if (held_) {
    held_++;
  } else if (lower_ + range_ > lower_) {
    write(word);
  } else {
    first_ = word;
    held_ = 1;
  }
}

void RangeEncoder::settle(bool carry) {
  write(first_ + carry);
  for (; held_ > 1; held_--) write(carry ? 0 : UINT32_MAX);
  held_ = 0;
}

std::string RangeEncoder::end() {
  const uint64_t point = lower_ + UINT32_MAX;
  if (held_) settle(point < lower_);
  write(uint32_t(point >> 32));
  if ((lower_ + range_) >> 32 == point >> 32) write(0);
  return std::move(words_);
}

void RangeEncoder::write(uint32_t word) {
  for (int n = 0; n < 4; n++) words_.push_back(char(word >> 8 * n));
}
