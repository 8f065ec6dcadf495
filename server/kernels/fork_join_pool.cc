#include "server/kernels/fork_join_pool.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace lamella::kernels {
namespace {

// How often a waiting thread looks before it parks: some tens of microseconds. A decode step is a
// row of runs that short apart, so its workers stay awake from the first to the last of them.
constexpr int kSpins = 2000;

// More chunks than threads, so that one thread that lost its core for a while holds up little.
constexpr int64_t kChunksPerThread = 4;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// One word tells workers everything. Moves:
//   Run opens:     job + 1, kOpen set, active 0
//   worker joins:  active + 1, only while open
//   worker leaves: active - 1
//   Run closes:    kOpen cleared; it returns once active is 0
// A worker that never joined may wake as late as it likes: it finds the job closed, and nobody
// waited for it. The job's fields are read by joined workers only, so Run may overwrite them.
// A job number that wraps around costs a sleeping worker one job at most.
constexpr uint32_t kActiveMask = 0x3ff;
constexpr uint32_t kOpen = 0x400;
constexpr uint32_t kStop = 0x800;
constexpr uint32_t kJobUnit = 0x1000;

constexpr uint32_t JobOf(uint32_t word) { return word / kJobUnit; }

}  // namespace

struct ForkJoinPool::State {
  alignas(64) std::atomic<uint32_t> word{0};
  alignas(64) std::atomic<int64_t> next{0};  // begin of the first range that nobody took
  int64_t count = 0;
  int64_t chunk = 0;
  RangeFn fn = nullptr;
  void* context = nullptr;
  int32_t threads = 1;
  std::vector<std::thread> workers;

  void Work(int32_t worker) {
    while (true) {
      const int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= count) return;
      fn(context, begin, std::min(begin + chunk, count), worker);
    }
  }

  // Returns a word other than `seen`.
  uint32_t AwaitChange(uint32_t seen) {
    for (int i = 0; i < kSpins; ++i) {
      const uint32_t now = word.load(std::memory_order_acquire);
      if (now != seen) return now;
      Pause();
    }
    word.wait(seen, std::memory_order_acquire);
    return word.load(std::memory_order_acquire);
  }

  void WorkerLoop(int32_t worker) {
    uint32_t last_job = 0;
    uint32_t seen = word.load(std::memory_order_acquire);
    while ((seen & kStop) == 0) {
      if ((seen & kOpen) == 0 || JobOf(seen) == last_job) {
        seen = AwaitChange(seen);
        continue;
      }
      if (!word.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      last_job = JobOf(seen);
      Work(worker);
      seen = word.fetch_sub(1, std::memory_order_acq_rel) - 1;
      if ((seen & (kOpen | kActiveMask)) == 0) word.notify_all();
    }
  }

  void Close() {
    uint32_t seen = word.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while ((seen & kActiveMask) != 0) seen = AwaitChange(seen);
  }
};

ForkJoinPool::ForkJoinPool(int32_t threads) : state_(std::make_unique<State>()) {
  state_->threads = std::clamp<int32_t>(threads, 1, kActiveMask);
  for (int32_t worker = 1; worker < state_->threads; ++worker) {
    state_->workers.emplace_back([state = state_.get(), worker] { state->WorkerLoop(worker); });
  }
}

ForkJoinPool::~ForkJoinPool() {
  state_->word.fetch_or(kStop, std::memory_order_acq_rel);
  state_->word.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int32_t ForkJoinPool::threads() const { return state_->threads; }

void ForkJoinPool::Run(int64_t count, int64_t grain, RangeFn fn, void* context) {
  if (count <= 0) return;
  State& state = *state_;
  grain = std::max<int64_t>(grain, 1);
  const int64_t units = (count + grain - 1) / grain;
  if (state.threads == 1 || units == 1) {
    fn(context, 0, count, 0);
    return;
  }
  const int64_t chunks = std::min(units, state.threads * kChunksPerThread);
  state.count = count;
  state.chunk = (units + chunks - 1) / chunks * grain;
  state.fn = fn;
  state.context = context;
  state.next.store(0, std::memory_order_relaxed);
  state.word.fetch_add(kJobUnit + kOpen, std::memory_order_acq_rel);
  state.word.notify_all();
  state.Work(0);
  state.Close();
}

}  // namespace lamella::kernels
