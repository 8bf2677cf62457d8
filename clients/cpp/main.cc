// artoveq classify HOST:PORT POINT RUNS FILE…   a line of JSON for each picture; POINT 0: the best; RUNS 0: a block
// artoveq check ROOT                            the vectors of a clone of the repository
// ONNXRUNTIME names the library, where it is not libonnxruntime.so.
#include <cstdlib>
#include <iostream>

#include "edge.h"

std::string read_file(const std::string& path);
void check_vectors(const std::string& root, const char* library);

namespace {

const char* of_environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}

void classify(const std::vector<std::string>& words, const char* library) {
  Edge edge(words[1], library, of_environment("ARTOVEQ_TOKEN", ""));
  const int asked = std::stoi(words[2]), runs = std::stoi(words[3]);
  for (size_t n = 4; n < words.size(); n++) {
    const std::string file = read_file(words[n]);
    const auto [answer, bytes] = edge.predict({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, asked ? asked : edge.points(), runs);
    const auto& best = answer.classification().classes(0);
    std::cout << nlohmann::json{{"file", words[n]}, {"point", answer.point()}, {"bytes", bytes}, {"index", best.index()},
                                {"name", best.name()}, {"probability", best.probability()}}
              << std::endl;
  }
  edge.close();
}

}  // namespace

int main(int count, char** given) {
  const std::vector<std::string> words(given + 1, given + count);
  const char* library = of_environment("ONNXRUNTIME", "libonnxruntime.so");
  try {
    if (words.size() > 4 && words[0] == "classify") {
      classify(words, library);
    } else if (words.size() == 2 && words[0] == "check") {
      check_vectors(words[1], library);
    } else {
      std::cerr << "usage: artoveq classify HOST:PORT POINT RUNS FILE…\n       artoveq check ROOT\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
