// An edge: fetches the model, encodes pictures, and sends them on one stream. docs/wire.md, from "The model" on.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "onnx.h"
#include "payload.h"
#include "picture.h"
#include "remote_inference.grpc.pb.h"

namespace pb = artoveq::v1;

class Edge {
 public:
  // address: HOST:PORT. library: of ONNX Runtime. token: where the server wants one, else empty.
  Edge(const std::string& address, const char* library, std::string token);

  struct Result {
    pb::Answer answer;
    size_t bytes;  // of the payload
  };

  // The answer about a picture's file. runs: 0 sends the block of the point, else its planes in so many messages.
  Result predict(std::span<const uint8_t> file, int point, int runs);

  // Half-closes, and waits for the server's last word.
  void close();

  int points() const { return int(manifest_["points"].size()); }

 private:
  std::string fetch(const std::string& name);
  void authorize(grpc::ClientContext& context) const;
  std::vector<pb::Payload> payloads(const Indices& indices, const Sizes& from, int point, int runs) const;
  Sizes sizes(int point) const { return manifest_["points"][point - 1]["sizes"]; }

  std::string token_, model_;
  nlohmann::json manifest_;
  std::unique_ptr<pb::RemoteInferenceService::Stub> stub_;
  PayloadCodec codec_;
  std::optional<Encoder> encoder_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<pb::StreamRequest, pb::StreamResponse>> stream_;
  bool coded_ = false;
  uint64_t next_ = 1;
};

// The codec of a manifest, without tables.
PayloadCodec codec_of(const nlohmann::json& manifest);
