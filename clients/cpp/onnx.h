// The calls of ONNX Runtime's C API that an edge needs, by their place in its table, which only ever grows. So the library
// is opened when the program runs, and wants no headers where it is built: a Python wheel or a Node package has the file.
#pragma once

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

class Encoder {
 public:
  // library: libonnxruntime.so; model: encoder.onnx, which must stay.
  Encoder(const char* library, const std::string& model) {
    struct Base {
      void* const* (*get_api)(uint32_t version);
    };
    void* handle = dlopen(library, RTLD_NOW);
    if (!handle) throw std::runtime_error(dlerror());
    api_ = reinterpret_cast<const Base* (*)()>(dlsym(handle, "OrtGetApiBase"))()->get_api(kVersion);
    void *environment, *options;
    call(kCreateEnv, kErrors, "edge", &environment);
    call(kCreateSessionOptions, &options);
    call(kCreateSessionFromArray, environment, model.data(), model.size(), options, &session_);
    call(kCreateCpuMemoryInfo, 1, 0, &memory_);
  }

  // picture: (S, S, 3). Gives `count` indices.
  std::vector<int32_t> run(std::span<uint8_t> picture, int64_t size, std::span<int32_t> sizes, size_t count) const {
    const std::array<int64_t, 4> shape{1, size, size, 3};
    const std::array<int64_t, 1> segments{int64_t(sizes.size())};
    std::array<void*, 2> inputs{tensor(picture, shape, kUint8), tensor(sizes, segments, kInt32)};
    const std::array<const char*, 2> names{"picture", "sizes"};
    const char* output = "indices";
    void *indices = nullptr, *data = nullptr;
    void* no_options = nullptr;
    call(kRun, session_, no_options, names.data(), inputs.data(), inputs.size(), &output, size_t(1), &indices);
    call(kGetTensorMutableData, indices, &data);
    const auto* first = static_cast<const int32_t*>(data);
    std::vector<int32_t> found(first, first + count);
    for (void* value : {inputs[0], inputs[1], indices}) reinterpret_cast<void (*)(void*)>(api_[kReleaseValue])(value);
    return found;
  }

 private:
  enum Place {
    kGetErrorMessage = 2,
    kCreateEnv = 3,
    kCreateSessionFromArray = 8,
    kRun = 9,
    kCreateSessionOptions = 10,
    kCreateTensorWithDataAsOrtValue = 49,
    kGetTensorMutableData = 51,
    kCreateCpuMemoryInfo = 69,
    kReleaseValue = 96
  };
  static constexpr uint32_t kVersion = 18;
  static constexpr int kErrors = 3, kUint8 = 2, kInt32 = 6;

  // A function of these arguments that gives a status, null where it is well.
  template <typename... Arguments>
  void call(Place place, Arguments... arguments) const {
    if (void* status = reinterpret_cast<void* (*)(Arguments...)>(api_[place])(arguments...))
      throw std::runtime_error(reinterpret_cast<const char* (*)(void*)>(api_[kGetErrorMessage])(status));
  }

  template <typename T, size_t N>
  void* tensor(std::span<T> data, const std::array<int64_t, N>& shape, int type) const {
    void* value;
    call(kCreateTensorWithDataAsOrtValue, memory_, data.data(), data.size_bytes(), shape.data(), N, type, &value);
    return value;
  }

  void* const* api_;
  void *session_, *memory_;
};
