// From a picture's file to the encoder's input. docs/wire.md, "Read a picture" and "Fit it".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

using Bytes = std::vector<uint8_t>;

struct Picture {
  int width = 0, height = 0;
  Bytes rgb;  // row, column, R G B
};

// A JPEG, PNG or WebP file, upright and without transparency; throws std::runtime_error.
Picture read_picture(std::span<const uint8_t> file);

// The centred square, scaled to size × size.
Bytes fit_picture(const Picture& picture, int size);
