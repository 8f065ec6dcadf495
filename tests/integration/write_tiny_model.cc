// write_tiny_model FILE: the base model of these tests, for tests that are not C++.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/integration/tiny_model.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_tiny_model FILE\n");
    return 2;
  }
  const std::string bytes = lamella::testing::ServedModel().Build();
  std::ofstream out(argv[1], std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.flush();
  return out.good() ? 0 : 1;
}
