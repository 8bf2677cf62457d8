// The vectors of docs/wire.md.
#include <fstream>
#include <iostream>

#include "edge.h"

using nlohmann::json;

namespace {

int passed = 0;

std::string hex(std::span<const uint8_t> data) {
  std::string text;
  for (uint8_t byte : data) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string hex(const std::string& data) { return hex({reinterpret_cast<const uint8_t*>(data.data()), data.size()}); }

Bytes bytes(const std::string& text) {
  Bytes data;
  for (size_t n = 0; n < text.size(); n += 2) data.push_back(uint8_t(std::stoi(text.substr(n, 2), nullptr, 16)));
  return data;
}

void same(const std::string& ours, const std::string& theirs, const std::string& name) {
  if (ours != theirs) throw std::runtime_error(name + ": " + ours + " in place of " + theirs);
  passed++;
}

std::vector<uint16_t> tables(int count, int groups) {
  std::vector<uint16_t> all;
  for (int t = 0; t < count; t++)
    for (int g = 0; g < groups; g++)
      for (int n = 0; n < 255; n++) all.push_back(uint16_t(1000 + 7919 * (t + 2 * g + 5 * n) % 64000));
  return all;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read.");
  return {std::istreambuf_iterator<char>(file), {}};
}

void check_vectors(const std::string& root, const char* library) {
  const auto vectors = [&](const std::string& name) { return json::parse(read_file(root + "/proto/vectors/" + name + ".json")); };

  for (const auto& one : vectors("pictures")) {
    const Picture picture = read_picture(bytes(one["file"]));
    same(hex(picture.rgb), one["rgb"], one["name"]);
    same(hex(fit_picture(picture, one["size"])), one["input"], one["name"].get<std::string>() + ", fitted");
  }

  for (const auto& one : vectors("coder")) {
    RangeEncoder coder;
    const std::string bits = one["bits"];
    for (size_t n = 0; n < bits.size(); n++) coder.put_bit(bits[n] == '1', one["odds"][n]);
    same(hex(coder.end()), one["coded"], "a string");
  }

  for (const auto& one : vectors("payloads")) {
    PayloadCodec plain{one["segments"], one["positions"], one.value("planes", std::vector<std::vector<int>>{}), {}, false, 0, 0}, coder = plain;
    same(hex(plain.block(one["indices"], one["sizes"], false).data), one["packed"], one["name"]);
    if (one.contains("tables")) coder.tables = tables(plain.refinable() ? 1 : 8, plain.groups());
    if (one.contains("coded")) same(hex(coder.block(one["indices"], one["sizes"], true).data), one["coded"], one["name"]);
    for (const auto& run : one.value("runs", json::array())) {
      const int first = run["first_plane"], count = run["plane_count"];
      same(hex(plain.run(one["indices"], first, count, false).data), run["packed"], "a run");
      if (run["coded"].is_string()) same(hex(coder.run(one["indices"], first, count, true).data), run["coded"], "a coded run");
    }
  }

  const json any = vectors("folded");
  PayloadCodec folding{any["segments"], any["positions"], {}, {}, true, any["largest_size"], any["d"]};
  for (int g = 0; g < folding.groups(); g++)
    for (int count : any["counts"]) folding.tables.push_back(uint16_t(count));
  for (int g = 0; g < folding.groups(); g++)
    for (const auto& row : any["rows"])
      for (int value : row) folding.tables.push_back(uint16_t(value));
  same(hex(folding.block(any["indices"], any["sizes"], true).data), any["coded"], any["name"]);
  same(hex(folding.block(any["indices"], any["sizes"], false).data), any["packed"], any["name"]);

  for (const auto& one : vectors("indices")) {
    const std::string folder = root + "/" + one["model"].get<std::string>(), file = read_file(root + "/" + one["picture"].get<std::string>());
    const json manifest = json::parse(read_file(folder + "/manifest.json"));
    const std::string model = read_file(folder + "/encoder.onnx");
    const int size = manifest["preprocessing"]["size"], point = one["point"];
    Bytes picture = fit_picture(read_picture({reinterpret_cast<const uint8_t*>(file.data()), file.size()}), size);
    std::vector<int32_t> sizes = manifest["points"][point - 1]["sizes"];
    const Indices theirs = one["indices"], ours = Encoder(library, model).run(picture, size, sizes, theirs.size());
    size_t other = 0;
    for (size_t m = 0; m < ours.size(); m++) other += ours[m] != theirs[m];
    if (other > ours.size() / 200) throw std::runtime_error(std::to_string(other) + " indices differ.");
    passed++;
  }
  std::cout << passed << " vectors agree\n";
}
