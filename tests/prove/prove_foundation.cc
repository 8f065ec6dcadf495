// lamella-prove [--quick]
//
// Measures what the foundation promises of models and tokenizers against recorded answers, and
// prints one JSON line for each figure: {"figure", "goal", "measured", "verdict"}. Exits with 1 if
// one is FAIL.
// --quick: one small case of each figure, for SmolLM2 alone; scripts/prove.sh adds what it
// measures.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/prove/model_rows.h"
#include "tests/prove/tokenizer_rows.h"

namespace lamella::prove {
namespace {

class Printer {
 public:
  void Print(const Row& row) {
    const nlohmann::ordered_json json = {{"figure", row.figure},
                                         {"goal", row.goal},
                                         {"measured", row.measured},
                                         {"verdict", row.verdict}};
    std::printf("%s\n", json.dump().c_str());
    std::fflush(stdout);
    failed_ |= row.verdict == "FAIL";
  }
  void Print(const std::vector<Row>& rows) {
    for (const Row& row : rows) Print(row);
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

int Main(bool quick) {
  Printer printer;
  for (const char* base : {"smollm2-135m-instruct", "gemma-3-270m"}) {
    if (quick && base != std::string("smollm2-135m-instruct")) {
      printer.Print(Row::NotRun(std::string("all figures of ") + base, "", "not with --quick"));
      continue;
    }
    ModelRows rows(base, quick);
    printer.Print(rows.Float32Gguf());
    printer.Print(rows.Float32Folder());
    printer.Print(rows.BFloat16());
    printer.Print(rows.MixedBatch());
  }
  printer.Print(TokenizerRows(quick));
  return printer.failed() ? 1 : 0;
}

}  // namespace
}  // namespace lamella::prove

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string(argv[1]) == "--quick";
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "usage: lamella-prove [--quick]\n");
    return 2;
  }
  return lamella::prove::Main(quick);
}
