// Persistent fork-join threads of one executor: spin for a moment, then park. One owner thread
// calls Run; it works too, as worker 0. No work is queued, none is left over when Run returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace lamella::kernels {

class ForkJoinPool {
 public:
  // `threads` counts the caller: 1 starts none.
  explicit ForkJoinPool(int32_t threads);
  ~ForkJoinPool();
  ForkJoinPool(const ForkJoinPool&) = delete;
  ForkJoinPool& operator=(const ForkJoinPool&) = delete;

  int32_t threads() const;

  // Calls fn(begin, end, worker) on disjoint ranges that cover [0, count), each at least `grain`
  // long but for the last, and returns when all are done. How the ranges are cut must not change
  // any result (law 2). fn must not throw, nor call Run. Allocates nothing: FunctionRef-like, fn is
  // borrowed.
  using RangeFn = void (*)(void* context, int64_t begin, int64_t end, int32_t worker);
  void Run(int64_t count, int64_t grain, RangeFn fn, void* context);

  template <typename F>
  void Run(int64_t count, int64_t grain, F&& fn) {
    Run(
        count, grain,
        [](void* context, int64_t begin, int64_t end, int32_t worker) {
          (*static_cast<std::remove_reference_t<F>*>(context))(begin, end, worker);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamella::kernels
