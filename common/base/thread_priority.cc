#include "common/base/thread_priority.h"

#include <sys/resource.h>
#include <unistd.h>

namespace lamella {
namespace {

// Linux gives a thread 1.25 times less for each step: 110 of 1,024 with ten.
constexpr int kNice = 10;

}  // namespace

void LowerThreadPriority() {
  const auto thread = static_cast<id_t>(gettid());
  // What is lower already stays so.
  if (getpriority(PRIO_PROCESS, thread) < kNice) (void)setpriority(PRIO_PROCESS, thread, kNice);
}

}  // namespace lamella
