// Kills a process that changes a store, again and again, and compares what the store holds afterwards
// with what was acknowledged.
//
//   store_crash_loop [--kills=50] [--seed=1]
//
// Half of the kills come at a random moment, half right before a chosen open, write, fsync or rename.
// The child notes each change in an oracle file, durably, before it begins and after it was
// acknowledged. Prints one line; exit status 1 if anything was lost, half visible or left behind.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/stress/store_model.h"
#include "tests/stress/syscall_faults.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::testing {
namespace {

struct Totals {
  int kills = 0;
  int at_calls = 0;
  int acknowledged = 0;
  int in_flight = 0;  // kills in the middle of a change
  int lost = 0;
  int half_visible = 0;
  int stray = 0;
};

// A history of changes: "B op" before, "A" after.
class Oracle {
 public:
  explicit Oracle(const std::string& path)
      : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)) {}
  ~Oracle() { close(fd_); }
  void Note(const std::string& line) const {
    const std::string whole = line + "\n";
    if (write(fd_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()) ||
        fdatasync(fd_) != 0) {
      std::perror("oracle");
      std::_Exit(3);
    }
  }

 private:
  const int fd_;
};

struct History {
  StoreModel acknowledged;
  std::vector<StoreChangeOp> pending;  // at most one: begun and not acknowledged
  int changes = 0;
};

// `begin` is what the store held when the oracle's file was empty.
History ReadOracle(const std::string& path, StoreModel begin) {
  History history{std::move(begin), {}, 0};
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line == "A") {
      history.acknowledged.Apply(history.pending.at(0));
      history.pending.clear();
      ++history.changes;
    } else {
      history.pending = {StoreChangeOp::FromLine(line.substr(2))};
    }
  }
  return history;
}

// Changes the store until it is killed. `call` -1: at no chosen call.
int RunChild(const std::string& dir, const std::string& oracle_path, uint32_t seed, int call,
             int nth) {
  if (call >= 0) ArmFault(dir, {.call = kFaultCalls[call], .nth = nth});
  auto store = OpenStressStore(dir);
  if (!store.ok()) {
    std::fprintf(stderr, "child: %s\n", store.status().ToString().c_str());
    return 2;
  }
  std::mt19937 random(seed);
  const Oracle oracle(oracle_path);
  auto model = StoreModel::Of(**store);
  for (int i = 0; model.ok() && i < 100'000; ++i) {
    const StoreChangeOp op = model->Pick(&random);
    oracle.Note("B " + op.ToLine());
    const absl::Status status = Perform(op, store->get());
    if (!status.ok()) {
      std::fprintf(stderr, "child: %s: %s\n", op.ToLine().c_str(), status.ToString().c_str());
      return 2;
    }
    model->Apply(op);
    oracle.Note("A");
    if (i % 7 == 0 && !(*store)->CollectGarbage().ok()) return 2;
  }
  return 2;
}

// True if the child died of SIGKILL.
bool SpawnAndKill(const std::vector<std::string>& arguments, int after_us) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = -1;
  if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ) != 0)
    return false;
  if (after_us >= 0) {
    usleep(static_cast<useconds_t>(after_us));
    kill(child, SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

class Loop {
 public:
  explicit Loop(uint32_t seed) : random_(seed) {}

  // False: nothing more can be learned.
  bool KillOnce() {
    const std::string oracle = dir_.path() + "/oracle";
    unlink(oracle.c_str());
    const bool at_call = random_() % 2 == 0;
    const int call = at_call ? static_cast<int>(random_() % std::size(kFaultCalls)) : -1;
    const int nth = static_cast<int>(random_() % 40) + 1;
    const int after_us = at_call ? -1 : static_cast<int>(random_() % 250'000);
    if (!SpawnAndKill({"store_crash_loop", "--child", store_dir_, oracle, std::to_string(random_()),
                       std::to_string(call), std::to_string(nth)},
                      after_us)) {
      std::fprintf(stderr, "the child ended by itself\n");
      return false;
    }
    ++totals_.kills;
    if (at_call) ++totals_.at_calls;
    return Compare(ReadOracle(oracle, held_));
  }

  const Totals& totals() const { return totals_; }

 private:
  bool Compare(const History& history) {
    totals_.acknowledged += history.changes;
    totals_.in_flight += static_cast<int>(history.pending.size());
    auto store = OpenStressStore(store_dir_);
    if (!store.ok()) {
      std::fprintf(stderr, "the store does not open: %s\n", store.status().ToString().c_str());
      ++totals_.lost;
      return false;
    }
    const auto held = StoreModel::Of(**store);
    if (!held.ok()) {
      std::fprintf(stderr, "%s\n", held.status().ToString().c_str());
      ++totals_.half_visible;
      return false;
    }
    StoreModel with_pending = history.acknowledged;
    if (!history.pending.empty()) with_pending.Apply(history.pending[0]);
    if (*held != history.acknowledged && *held != with_pending) {
      std::fprintf(stderr, "held:\n%sacknowledged:\n%s", held->ToString().c_str(),
                   history.acknowledged.ToString().c_str());
      ++totals_.lost;
      return false;
    }
    held_ = *held;
    if (!(*store)->CollectGarbage().ok()) ++totals_.stray;
    totals_.stray += StrayFiles(store_dir_, held_) == 0 ? 0 : 1;
    return true;
  }

  const TempDir dir_;
  const std::string store_dir_ = dir_.path() + "/store";
  std::mt19937 random_;
  StoreModel held_;
  Totals totals_;
};

int RunLoop(int kills, uint32_t seed) {
  Loop loop(seed);
  for (int i = 0; i < kills && loop.KillOnce(); ++i) continue;
  const Totals& t = loop.totals();
  std::printf(
      "store_crash_loop seed=%u kills=%d at_calls=%d in_flight=%d acknowledged=%d lost=%d "
      "half_visible=%d stray=%d\n",
      seed, t.kills, t.at_calls, t.in_flight, t.acknowledged, t.lost, t.half_visible, t.stray);
  return t.kills == kills && t.lost + t.half_visible + t.stray == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamella::testing

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 6 && arguments[0] == "--child") {
    return lamella::testing::RunChild(arguments[1], arguments[2],
                                      static_cast<uint32_t>(std::stoul(arguments[3])),
                                      std::stoi(arguments[4]), std::stoi(arguments[5]));
  }
  int kills = 50;
  uint32_t seed = 1;
  for (const std::string& argument : arguments) {
    const bool known =
        (absl::StartsWith(argument, "--kills=") && absl::SimpleAtoi(argument.substr(8), &kills)) ||
        (absl::StartsWith(argument, "--seed=") && absl::SimpleAtoi(argument.substr(7), &seed));
    if (!known) {
      std::fprintf(stderr, "usage: store_crash_loop [--kills=50] [--seed=1]\n");
      return 2;
    }
  }
  return lamella::testing::RunLoop(kills, seed);
}
