// gguf_to_hf IN.gguf OUT_FOLDER: see convert.h.
#include <cstdio>
#include <string>

#include "tests/testing/gguf_to_hf/convert.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: gguf_to_hf IN.gguf OUT_FOLDER\n", stderr);
    return 2;
  }
  const absl::Status status = lamella::testing::ConvertGgufToHf(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "gguf_to_hf: %s\n", std::string(status.message()).c_str());
  return 1;
}
