#include "tests/stress/syscall_faults.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstring>

namespace lamella::testing {
namespace {

constexpr int kMaxFds = 4096;

std::string folder;  // written while nothing is armed
Fault armed;
std::atomic<bool> active{false};
std::atomic<int> calls{0};
std::atomic<bool> struck{false};
// Descriptors of files below the folder.
std::array<std::atomic<bool>, kMaxFds> watched{};

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool Below(const char* path) {
  return active && std::strncmp(path, folder.c_str(), folder.size()) == 0;
}
bool Watched(int fd) {
  return active && fd >= 0 && fd < kMaxFds && watched[static_cast<size_t>(fd)];
}

// True: the call is to fail, and errno says how.
bool Strikes(FaultCall call) {
  if (!active || armed.call != call) return false;
  const int count = ++calls;
  if (count != armed.nth && !(armed.sticky && count > armed.nth)) return false;
  struck = true;
  if (armed.error == 0) kill(getpid(), SIGKILL);
  errno = armed.error;
  return true;
}

using OpenFunction = int (*)(const char*, int, ...);

int Open(const char* real, const char* path, int flags, mode_t mode) {
  static const auto open64 = Next<OpenFunction>("open64");
  static const auto open32 = Next<OpenFunction>("open");
  const bool below = Below(path);
  if (below && Strikes(FaultCall::kOpen)) return -1;
  const int fd = (std::strcmp(real, "open64") == 0 ? open64 : open32)(path, flags, mode);
  if (fd >= 0 && fd < kMaxFds) watched[static_cast<size_t>(fd)] = below;
  return fd;
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

}  // namespace

const char* FaultCallName(FaultCall call) {
  switch (call) {
    case FaultCall::kOpen:
      return "open";
    case FaultCall::kWrite:
      return "write";
    case FaultCall::kSync:
      return "fsync";
    case FaultCall::kRename:
      return "rename";
  }
  return "";
}

void ArmFault(const std::string& below, const Fault& fault) {
  active = false;
  folder = below;
  armed = fault;
  calls = 0;
  struck = false;
  active = true;
}

void DisarmFault() {
  // Files stay watched: a store that was opened under one fault meets the next one too.
  armed.nth = -1;
  armed.sticky = false;
}

bool FaultStruck() { return struck; }

}  // namespace lamella::testing

// libc's names, found before libc's own.
extern "C" {

using lamella::testing::FaultCall;

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = lamella::testing::ModeOf(flags, arguments);
  va_end(arguments);
  return lamella::testing::Open("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = lamella::testing::ModeOf(flags, arguments);
  va_end(arguments);
  return lamella::testing::Open("open64", path, flags, mode);
}

ssize_t write(int fd, const void* data, size_t size) {
  static const auto next = lamella::testing::Next<ssize_t (*)(int, const void*, size_t)>("write");
  if (lamella::testing::Watched(fd) && lamella::testing::Strikes(FaultCall::kWrite)) return -1;
  return next(fd, data, size);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto next =
      lamella::testing::Next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  if (lamella::testing::Watched(fd) && lamella::testing::Strikes(FaultCall::kWrite)) return -1;
  return next(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  static const auto next =
      lamella::testing::Next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  if (lamella::testing::Watched(fd) && lamella::testing::Strikes(FaultCall::kWrite)) return -1;
  return next(fd, data, size, offset);
}

int fsync(int fd) {
  static const auto next = lamella::testing::Next<int (*)(int)>("fsync");
  if (lamella::testing::Watched(fd) && lamella::testing::Strikes(FaultCall::kSync)) return -1;
  return next(fd);
}

int fdatasync(int fd) {
  static const auto next = lamella::testing::Next<int (*)(int)>("fdatasync");
  if (lamella::testing::Watched(fd) && lamella::testing::Strikes(FaultCall::kSync)) return -1;
  return next(fd);
}

int rename(const char* from, const char* to) {
  static const auto next = lamella::testing::Next<int (*)(const char*, const char*)>("rename");
  if (lamella::testing::Below(to) && lamella::testing::Strikes(FaultCall::kRename)) return -1;
  return next(from, to);
}

}  // extern "C"
