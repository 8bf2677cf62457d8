#include "picture.h"

#include <png.h>
#include <turbojpeg.h>
#include <webp/decode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace {

using File = std::span<const uint8_t>;

constexpr int64_t kMostPixels = 4096 * 3072;

void check_size(int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width * height > kMostPixels) throw std::runtime_error("The picture is too large.");
}

uint32_t number(File data, size_t at, size_t size, bool little) {
  uint32_t value = 0;
  for (size_t n = 0; n < size; n++) {
    const size_t place = at + (little ? size - 1 - n : n);
    value = value << 8 | (place < data.size() ? data[place] : 0);
  }
  return value;
}

bool begins(File data, const char* text, size_t length, size_t at = 0) {
  return data.size() >= at + length && std::memcmp(data.data() + at, text, length) == 0;
}

// What EXIF's first directory says of the orientation.
int orientation_of(File tiff) {
  if (begins(tiff, "Exif\0\0", 6)) tiff = tiff.subspan(6);
  const bool little = begins(tiff, "II", 2);
  if ((!little && !begins(tiff, "MM", 2)) || number(tiff, 2, 2, little) != 42) return 1;
  const size_t begin = number(tiff, 4, 4, little), count = number(tiff, begin, 2, little);
  for (size_t n = 0, at = begin + 2; n < count && at + 12 <= tiff.size(); n++, at += 12)
    if (number(tiff, at, 2, little) == 0x0112 && number(tiff, at + 2, 2, little) == 3)
      return number(tiff, at + 8, 2, little);
  return 1;
}

// From 1 on samples are 8 bits, channels 1 to 4: grey, grey and alpha, RGB, RGB and alpha.
struct Raw {
  int width, height, channels;
  Bytes samples;
  int orientation = 1;
};

Raw read_jpeg(File file) {
  std::unique_ptr<void, int (*)(tjhandle)> jpeg(tjInitDecompress(), tjDestroy);
  int width, height, subsampling, colours;
  if (tjDecompressHeader3(jpeg.get(), file.data(), file.size(), &width, &height, &subsampling, &colours))
    throw std::runtime_error(tjGetErrorStr2(jpeg.get()));
  check_size(width, height);
  Raw raw{width, height, 3, Bytes(3 * size_t(width) * height)};
  if (tjDecompress2(jpeg.get(), file.data(), file.size(), raw.samples.data(), width, 0, height, TJPF_RGB,
                    TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING))
    throw std::runtime_error(tjGetErrorStr2(jpeg.get()));
  for (size_t at = 2; at + 4 <= file.size() && file[at] == 0xFF && file[at + 1] != 0xDA;) {
    const size_t length = number(file, at + 2, 2, false);
    if (file[at + 1] == 0xE1 && begins(file, "Exif\0\0", 6, at + 4)) {
      raw.orientation = orientation_of(file.subspan(at + 4, std::min(length, file.size() - at - 4)));
      break;
    }
    at += 2 + length;
  }
  return raw;
}

[[noreturn]] void png_failed(png_structp, png_const_charp message) { throw std::runtime_error(message); }

Raw read_png(File file) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, png_failed, [](png_structp, png_const_charp) {});
  png_infop info = png_create_info_struct(png);
  struct Close {
    png_structp* png;
    png_infop* info;
    ~Close() { png_destroy_read_struct(png, info, nullptr); }
  } close{&png, &info};
  File rest = file;
  png_set_read_fn(png, &rest, [](png_structp png, png_bytep to, size_t size) {
    auto& rest = *static_cast<File*>(png_get_io_ptr(png));
    if (size > rest.size()) png_failed(png, "The file is cut short.");
    std::copy_n(rest.begin(), size, to);
    rest = rest.subspan(size);
  });
  png_read_info(png, info);
  check_size(png_get_image_width(png, info), png_get_image_height(png, info));
  png_set_expand(png);  // palettes, transparent colours, fewer than 8 bits
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const int channels = png_get_channels(png, info);
  const bool wide = png_get_bit_depth(png, info) == 16;
  Raw raw{int(png_get_image_width(png, info)), int(png_get_image_height(png, info)), channels, {}};
  const size_t row = png_get_rowbytes(png, info);
  Bytes samples(row * raw.height);
  std::vector<png_bytep> rows(raw.height);
  for (int y = 0; y < raw.height; y++) rows[y] = samples.data() + y * row;
  png_read_image(png, rows.data());
  if (wide) {
    for (size_t n = 0; n < samples.size() / 2; n++)
      samples[n] = channels == 1 ? uint8_t(std::lround(number(samples, 2 * n, 2, false) * 255 / 65535.0)) : samples[2 * n];
    samples.resize(samples.size() / 2);
  }
  raw.samples = std::move(samples);
  for (size_t at = 8; at + 12 <= file.size(); at += 12 + number(file, at, 4, false))
    if (begins(file, "eXIf", 4, at + 4))
      raw.orientation = orientation_of(file.subspan(at + 8, std::min<size_t>(number(file, at, 4, false), file.size() - at - 8)));
  return raw;
}

Raw read_webp(File file) {
  int width, height;
  if (!WebPGetInfo(file.data(), file.size(), &width, &height)) throw std::runtime_error("The file is no WebP picture.");
  check_size(width, height);
  Raw raw{width, height, 4, Bytes(4 * size_t(width) * height)};
  if (!WebPDecodeRGBAInto(file.data(), file.size(), raw.samples.data(), raw.samples.size(), 4 * width))
    throw std::runtime_error("The picture is damaged, or has more than one frame.");
  for (size_t at = 12; at + 8 <= file.size();) {
    const size_t length = number(file, at + 4, 4, true);
    if (begins(file, "EXIF", 4, at)) {
      raw.orientation = orientation_of(file.subspan(at + 8, std::min(length, file.size() - at - 8)));
      break;
    }
    at += 8 + length + length % 2;
  }
  return raw;
}

// Upright, with three colours, on white.
Picture finished(const Raw& raw) {
  const int turn = raw.orientation >= 1 && raw.orientation <= 8 ? raw.orientation : 1;
  const bool swapped = turn >= 5, alpha = raw.channels % 2 == 0;
  Picture picture{swapped ? raw.height : raw.width, swapped ? raw.width : raw.height, {}};
  picture.rgb.reserve(3 * size_t(picture.width) * picture.height);
  for (int y = 0; y < picture.height; y++)
    for (int x = 0; x < picture.width; x++) {
      int from_x = swapped ? y : x, from_y = swapped ? x : y;
      if (turn == 2 || turn == 3 || turn == 7 || turn == 8) from_x = raw.width - 1 - from_x;
      if (turn == 3 || turn == 4 || turn == 6 || turn == 7) from_y = raw.height - 1 - from_y;
      const uint8_t* pixel = &raw.samples[(size_t(from_y) * raw.width + from_x) * raw.channels];
      const int a = alpha ? pixel[raw.channels - 1] : 255;
      for (int c = 0; c < 3; c++) {
        const int laid = pixel[raw.channels < 3 ? 0 : c] * a + 255 * (255 - a);
        picture.rgb.push_back(uint8_t((2 * laid + 255) / 510));
      }
    }
  return picture;
}

struct Weights {
  int first;
  std::vector<int> k;
};

std::vector<Weights> weights(int samples, double begin, int side, int size) {
  const double scale = double(side) / size, grow = std::max(scale, 1.0);
  std::vector<Weights> found;
  for (int i = 0; i < size; i++) {
    const double centre = begin + (i + 0.5) * scale;
    const int first = std::max(0, int(centre - grow + 0.5)), end = std::min(samples, int(centre + grow + 0.5));
    std::vector<double> w;
    double sum = 0;
    for (int x = first; x < end; x++) {
      w.push_back(std::max(0.0, 1 - std::abs((x - centre + 0.5) * (1 / grow))));
      sum += w.back();
    }
    Weights one{first, {}};
    for (double weight : w) one.k.push_back(int(0.5 + weight / sum * 4194304));
    found.push_back(std::move(one));
  }
  return found;
}

void scale(const uint8_t* from, size_t step, const Weights& weights, uint8_t* to) {
  for (int c = 0; c < 3; c++) {
    int sum = 2097152;
    for (size_t n = 0; n < weights.k.size(); n++) sum += weights.k[n] * from[(weights.first + n) * step + c];
    to[c] = uint8_t(std::clamp(sum >> 22, 0, 255));
  }
}

}  // namespace

Picture read_picture(File file) {
  if (begins(file, "\xFF\xD8\xFF", 3)) return finished(read_jpeg(file));
  if (begins(file, "\x89PNG", 4)) return finished(read_png(file));
  if (begins(file, "RIFF", 4) && begins(file, "WEBP", 4, 8)) return finished(read_webp(file));
  throw std::runtime_error("The file is no JPEG, PNG or WebP picture.");
}

Bytes fit_picture(const Picture& picture, int size) {
  const int width = picture.width, height = picture.height, side = std::min(width, height);
  if (width == size && height == size) return picture.rgb;
  const auto columns = weights(width, (width - side) / 2.0, side, size);
  const auto rows = weights(height, (height - side) / 2.0, side, size);
  Bytes narrow(3 * size_t(size) * height), fitted(3 * size_t(size) * size);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < size; x++) scale(&picture.rgb[3 * size_t(y) * width], 3, columns[x], &narrow[3 * (size_t(y) * size + x)]);
  for (int y = 0; y < size; y++)
    for (int x = 0; x < size; x++) scale(&narrow[3 * x], 3 * size_t(size), rows[y], &fitted[3 * (size_t(y) * size + x)]);
  return fitted;
}
