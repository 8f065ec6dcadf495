// Lets the n-th open, write, fsync or rename of a store fail, for every n until none is left to fail: once
// with EIO, and for good (until it is lifted) with ENOSPC, as a full disk, and EROFS, as a read-only file
// system.
//
//   store_fault_loop [--quick]      --quick: every fifth n
//
// Each failure must be answered by a status with a reason, the store must go on working once the fault is
// lifted, and what it holds, also after it is opened again, must be what was answered. Prints one line;
// exit status 1 otherwise.
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "tests/stress/store_model.h"
#include "tests/stress/syscall_faults.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::testing {
namespace {

using Kind = StoreChangeOp::Kind;

struct Totals {
  int faults = 0;
  int refused = 0;  // changes that a fault made fail
  int unclear = 0;  // without a reason
  int stuck = 0;    // the store did not work after the fault was lifted
  int lost = 0;
  int half_visible = 0;
  int stray = 0;

  int bad() const { return unclear + stuck + lost + half_visible + stray; }
};

const std::vector<StoreChangeOp>& Script() {
  static const auto* const script = new std::vector<StoreChangeOp>{
      {Kind::kUpload, "t0", "a0", "live", 0},    {Kind::kUpload, "t0", "a0", "", 1},
      {Kind::kSetAlias, "t0", "a0", "live", 1},  {Kind::kUpload, "t1", "a0", "live", 0},
      {Kind::kDeleteVersion, "t0", "a0", "", 0}, {Kind::kDeleteAdapter, "t1", "a0", "", 0},
  };
  return *script;
}

// One fault in one store of its own.
class Trial {
 public:
  Trial(const Fault& fault, Totals* totals) : totals_(totals) {
    ArmFault(dir_, fault);
    Run();
    struck_ = FaultStruck();
    DisarmFault();
    if (struck_) ++totals_->faults;
  }
  bool struck() const { return struck_; }

 private:
  void Run() {
    auto opened = OpenStressStore(dir_);
    if (!opened.ok()) {
      CheckReason(opened.status());
      DisarmFault();
      opened = OpenStressStore(dir_);
    }
    if (!opened.ok()) return Stuck(opened.status());
    store_ = *std::move(opened);
    for (const StoreChangeOp& op : Script()) {
      if (!Change(op)) return;
    }
    DisarmFault();
    CheckEnd();
  }

  // Performs it; if it fails, again without the fault. What the store holds decides whether a failed
  // change has happened all the same.
  bool Change(const StoreChangeOp& op) {
    StoreModel after = model_;
    after.Apply(op);
    absl::Status status = Perform(op, store_.get());
    if (!status.ok()) {
      CheckReason(status);
      DisarmFault();
      const auto held = StoreModel::Of(*store_);
      if (!held.ok()) return HalfVisible(held.status());
      if (*held != model_ && *held != after) return Lost();
      status = *held == after ? absl::OkStatus() : Perform(op, store_.get());
    }
    if (!status.ok()) {
      Stuck(status);
      return false;
    }
    model_ = after;
    return true;
  }

  void CheckEnd() {
    for (const bool again : {false, true}) {
      if (again) {
        store_.reset();
        auto opened = OpenStressStore(dir_);
        if (!opened.ok()) return Stuck(opened.status());
        store_ = *std::move(opened);
      }
      const auto held = StoreModel::Of(*store_);
      if (!held.ok()) {
        HalfVisible(held.status());
        return;
      }
      if (*held != model_) {
        Lost();
        return;
      }
    }
    if (!store_->CollectGarbage().ok() || StrayFiles(dir_, model_) != 0) ++totals_->stray;
  }

  void CheckReason(const absl::Status& status) {
    ++totals_->refused;
    if (!ErrorReason(status).empty()) return;
    ++totals_->unclear;
    std::fprintf(stderr, "no reason: %s\n", status.ToString().c_str());
  }
  void Stuck(const absl::Status& status) {
    ++totals_->stuck;
    std::fprintf(stderr, "stuck: %s\n", status.ToString().c_str());
  }
  bool HalfVisible(const absl::Status& status) {
    ++totals_->half_visible;
    std::fprintf(stderr, "half visible: %s\n", status.ToString().c_str());
    return false;
  }
  bool Lost() {
    ++totals_->lost;
    std::fprintf(stderr, "lost; expected:\n%s", model_.ToString().c_str());
    return false;
  }

  const TempDir temp_;
  const std::string dir_ = temp_.path() + "/store";
  Totals* const totals_;
  std::unique_ptr<DurableAdapterStore> store_;
  StoreModel model_;
  bool struck_ = false;
};

int RunAll(int stride) {
  struct Way {
    int error;
    bool sticky;
  };
  constexpr Way kWays[] = {{EIO, false}, {ENOSPC, true}, {EROFS, true}};
  Totals totals;
  for (const FaultCall call : kFaultCalls) {
    for (const Way& way : kWays) {
      int nth = 1;
      while (Trial({call, nth, way.error, way.sticky}, &totals).struck()) {
        if (totals.bad() > 20) break;
        nth += stride;
      }
      if (totals.bad() > 0) {
        std::fprintf(stderr, "up to %s %d, errno %d\n", FaultCallName(call), nth, way.error);
      }
    }
  }
  std::printf(
      "store_fault_loop faults=%d refused=%d unclear=%d stuck=%d lost=%d half_visible=%d "
      "stray=%d\n",
      totals.faults, totals.refused, totals.unclear, totals.stuck, totals.lost, totals.half_visible,
      totals.stray);
  return totals.bad() == 0 && totals.faults > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamella::testing

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string(argv[1]) == "--quick";
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "usage: store_fault_loop [--quick]\n");
    return 2;
  }
  return lamella::testing::RunAll(quick ? 5 : 1);
}
