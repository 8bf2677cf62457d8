#include "edge.h"

#include <grpcpp/grpcpp.h>
#include <openssl/evp.h>

#include <cmath>
#include <stdexcept>

namespace {

std::string sha256(const std::string& data) {
  unsigned char digest[32];
  EVP_Digest(data.data(), data.size(), digest, nullptr, EVP_sha256(), nullptr);
  std::string text;
  for (unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

}  // namespace

PayloadCodec codec_of(const nlohmann::json& manifest) {
  PayloadCodec codec{manifest["segments"], manifest["latent"]["shape"][1].get<int>() * manifest["latent"]["shape"][2].get<int>(), {}, {},
                     manifest["any_size"], manifest["largest_size"], manifest["latent"]["d"]};
  for (const auto& plane : manifest["planes"]) codec.planes.push_back(plane["segments"]);
  return codec;
}

Edge::Edge(const std::string& address, const char* library, std::string token) : token_(std::move(token)) {
  grpc::ChannelArguments options;
  options.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  options.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  stub_ = pb::RemoteInferenceService::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), options));

  grpc::ClientContext context;
  authorize(context);
  pb::DescribeModelResponse described;
  check(stub_->DescribeModel(&context, {}, &described));
  manifest_ = nlohmann::json::parse(described.manifest());
  if (manifest_["format_version"] != 2) throw std::runtime_error("The model has a format version that is not known here.");

  codec_ = codec_of(manifest_);
  model_ = fetch("encoder.onnx");
  encoder_.emplace(library, model_);
  if (manifest_["files"].contains("entropy.u16")) {
    const std::string tables = fetch("entropy.u16");
    for (size_t n = 0; n + 1 < tables.size(); n += 2)
      codec_.tables.push_back(uint16_t(uint8_t(tables[n]) | uint8_t(tables[n + 1]) << 8));
  }

  authorize(context_);
  stream_ = stub_->Stream(&context_);
  pb::StreamRequest request;
  request.mutable_hello()->set_fingerprint(manifest_["fingerprint"]);
  request.mutable_hello()->set_name("cpp");
  pb::StreamResponse response;
  if (!stream_->Write(request) || !stream_->Read(&response)) check(stream_->Finish());
  coded_ = response.welcome().reads_coded() && !manifest_.value("any_size", false);  // whose own code is not written here
}

void Edge::authorize(grpc::ClientContext& context) const {
  if (!token_.empty()) context.AddMetadata("authorization", "Bearer " + token_);
}

std::string Edge::fetch(const std::string& name) {
  grpc::ClientContext context;
  authorize(context);
  pb::FetchFileRequest request;
  request.set_fingerprint(manifest_["fingerprint"]);
  request.set_name(name);
  auto pieces = stub_->FetchFile(&context, request);
  pb::FetchFileResponse piece;
  std::string file;
  while (pieces->Read(&piece)) file += piece.data();
  check(pieces->Finish());
  if (sha256(file) != manifest_["files"][name]) throw std::runtime_error(name + " is not the file of this model.");
  return file;
}

std::vector<pb::Payload> Edge::payloads(const Indices& indices, const Sizes& from, int point, int runs) const {
  std::vector<pb::Payload> all;
  const auto add = [&](const Written& written, int first, int count) {
    pb::Payload& payload = all.emplace_back();
    payload.set_point(point);
    payload.set_first_plane(first);
    payload.set_plane_count(count);
    payload.set_data(written.data);
    payload.set_packed(written.packed);
  };
  if (!runs) {
    add(codec_.block(codec_.refinable() ? codec_.reduced(indices, from, sizes(point)) : indices, sizes(point), coded_), 0, 0);
    return all;
  }
  size_t last = 1;
  while (last <= codec_.planes.size() && codec_.sizes_after(last) != sizes(point)) last++;
  if (last > codec_.planes.size()) throw std::runtime_error("No planes end in this point.");
  for (int n = 0, begin = 1; n < runs; n++) {
    const int end = int(std::lround(double(last) * (n + 1) / runs));
    if (end >= begin) add(codec_.run(indices, begin, end - begin + 1, coded_), begin, end - begin + 1);
    begin = end + 1;
  }
  return all;
}

Edge::Result Edge::predict(std::span<const uint8_t> file, int point, int runs) {
  const int size = manifest_["preprocessing"]["size"];
  Bytes picture = fit_picture(read_picture(file), size);
  const Sizes from = codec_.refinable() ? codec_.sizes_after(codec_.planes.size()) : sizes(point);
  std::vector<int32_t> wanted(from.begin(), from.end());
  const Indices indices = encoder_->run(picture, size, wanted, size_t(codec_.groups()) * codec_.positions);

  Result result{{}, 0};
  const uint64_t id = next_++;
  for (pb::Payload& payload : payloads(indices, from, point, runs)) {
    payload.set_picture_id(id);
    result.bytes += payload.data().size();
    pb::StreamRequest request;
    *request.mutable_payload() = std::move(payload);
    if (!stream_->Write(request)) check(stream_->Finish());
  }
  for (pb::StreamResponse response; stream_->Read(&response);) {
    if (response.has_failure() && response.failure().picture_id() == id) throw std::runtime_error(response.failure().message());
    if (response.has_answer() && response.answer().picture_id() == id && response.answer().final()) {
      result.answer = response.answer();
      return result;
    }
  }
  check(stream_->Finish());
  throw std::runtime_error("The server has ended the stream.");
}

void Edge::close() {
  stream_->WritesDone();
  for (pb::StreamResponse response; stream_->Read(&response);) {}
  check(stream_->Finish());
}
