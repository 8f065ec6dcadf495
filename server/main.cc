// lamella-server: flags -> ServerConfig -> Server, then waits for a signal and drains. Exit status:
// 0 after a drain, 1 if the server cannot start, 2 for a bad command line.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/error.h"
#include "common/base/logging.h"
#include "server/config/flags.h"
#include "server/server.h"

namespace {

constexpr int kExitCannotStart = 1;
constexpr int kExitBadFlags = 2;

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

int PrintHelp() {
  std::printf("lamella-server --model=PATH [--flag=value ...]\n\n%s", lamella::FlagsHelp().c_str());
  return 0;
}

int PrintVersion() {
  std::printf("lamella-server %s (commit %s)\n", LAMELLA_VERSION, LAMELLA_COMMIT);
  return 0;
}

// Every connection is a descriptor, and a listener that finds none is deaf.
void AllowAllDescriptors() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Serve(const lamella::ServerConfig& config) {
  lamella::SetLogFormat(config.log_format == lamella::LogFormatOption::kJson
                            ? lamella::LogFormat::kJson
                            : lamella::LogFormat::kText);
  // Before any thread is made: all inherit the mask, so that only sigwait sees the signals.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  AllowAllDescriptors();
  // gRPC writes its own view of our errors to stderr; whoever wants it says so.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  auto server = lamella::Server::Start(config);
  if (!server.ok()) {
    lamella::LogError("cannot start", {{"reason", lamella::ErrorReason(server.status())},
                                       {"field", lamella::ErrorField(server.status())},
                                       {"message", std::string(server.status().message())}});
    return kExitCannotStart;
  }
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  // A second signal ends the process at once.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*server)->Drain(config.drain_grace);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto line = lamella::ParseCommandLine(argc, argv);
  if (!line.ok()) {
    std::fprintf(stderr, "lamella-server: %s\n", std::string(line.status().message()).c_str());
    return kExitBadFlags;
  }
  switch (line->action) {
    case lamella::CommandLine::Action::kPrintHelp:
      return PrintHelp();
    case lamella::CommandLine::Action::kPrintVersion:
      return PrintVersion();
    case lamella::CommandLine::Action::kServe:
      return Serve(line->config);
  }
  return kExitBadFlags;
}
