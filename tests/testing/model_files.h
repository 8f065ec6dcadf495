// Where the real base models are that tests with the label `models` use. They are never committed.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace lamella::testing {

struct ModelFile {
  std::string path;
  bool there = false;
  // What to say when skipping.
  std::string Missing() const { return path + " is missing: scripts/setup.sh fetches it"; }
};

// The environment variable names the file, else it is in the cache folder.
inline ModelFile FindModelFile(const char* variable, const char* name) {
  ModelFile file;
  if (const char* given = std::getenv(variable); given != nullptr) {
    file.path = given;
  } else {
    const char* cache = std::getenv("LAMELLA_CACHE");
    const char* home = std::getenv("HOME");
    const std::string folder =
        cache != nullptr ? cache : std::string(home != nullptr ? home : "") + "/.cache/lamella";
    file.path = folder + "/models/" + name;
  }
  std::error_code ignored;
  file.there = std::filesystem::exists(file.path, ignored);
  return file;
}

inline ModelFile SmolLm2File() {
  return FindModelFile("LAMELLA_TEST_SMOLLM2", "smollm2-135m-instruct.gguf");
}

inline ModelFile GemmaFile() { return FindModelFile("LAMELLA_TEST_GEMMA", "gemma-3-270m.gguf"); }

}  // namespace lamella::testing
