// A figure that was promised, and what was measured. Printed as one JSON line, which
// scripts/prove.sh gathers into its table.
#pragma once

#include <string>

namespace lamella::prove {

struct Row {
  std::string figure;
  std::string goal;
  std::string measured;
  std::string verdict;  // PASS, FAIL, INCONCLUSIVE or NOT_RUN

  static Row Judge(std::string figure, std::string goal, std::string measured, bool holds) {
    return {std::move(figure), std::move(goal), std::move(measured), holds ? "PASS" : "FAIL"};
  }
  // NOT_RUN is never the same as passed.
  static Row NotRun(std::string figure, std::string goal, std::string reason) {
    return {std::move(figure), std::move(goal), std::move(reason), "NOT_RUN"};
  }
};

}  // namespace lamella::prove
