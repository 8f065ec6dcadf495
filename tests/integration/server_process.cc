#include "tests/integration/server_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "tests/testing/http_get.h"

namespace lamella::testing {
namespace {

std::vector<std::string> ServerCommand(const std::vector<std::string>& flags) {
  std::vector<std::string> command = {LAMELLA_SERVER_BINARY, "--listen=127.0.0.1:0",
                                      "--admin-listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

}  // namespace

Process::Process(const std::vector<std::string>& command) {
  int fds[2];
  if (pipe(fds) != 0) std::abort();
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(fds[1], STDOUT_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[0]);
    close(fds[1]);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(fds[1]);
  reader_ = std::thread([this, fd = fds[0]] { ReadAll(fd); });
}

Process::~Process() {
  if (status_ < 0) {
    Signal(SIGKILL);
    Wait();
  }
  reader_.join();
}

void Process::ReadAll(int fd) {
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
    MutexLock lock(&mutex_);
    output_.append(buffer, static_cast<size_t>(n));
    changed_.NotifyAll();
  }
  close(fd);
  MutexLock lock(&mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

bool Process::AwaitOutput(const std::string& text) {
  MutexLock lock(&mutex_);
  while (output_.find(text) == std::string::npos && !closed_) changed_.Wait(&mutex_);
  return output_.find(text) != std::string::npos;
}

std::string Process::output() {
  MutexLock lock(&mutex_);
  return output_;
}

void Process::Signal(int signal) { kill(pid_, signal); }

int Process::Wait() {
  if (status_ >= 0) return status_;
  int raw = 0;
  waitpid(pid_, &raw, 0);
  status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  // What it wrote last.
  MutexLock lock(&mutex_);
  while (!closed_) changed_.Wait(&mutex_);
  return status_;
}

ServerProcess::ServerProcess(const std::vector<std::string>& flags)
    : process_(ServerCommand(flags)) {}

bool ServerProcess::AwaitReady() {
  // The last field of the ready line.
  const bool ready = process_.AwaitOutput("ready ") && process_.AwaitOutput(" seconds=");
  EXPECT_TRUE(ready) << process_.output();
  return ready;
}

std::string ServerProcess::ReadyField(const std::string& name) {
  const std::string output = process_.output();
  const size_t line = output.find("ready ");
  const size_t begin = output.find(name + "=", line) + name.size() + 1;
  return output.substr(begin, output.find_first_of(" \n", begin) - begin);
}

std::string ServerProcess::address() { return ReadyField("address"); }

std::string ServerProcess::admin_address() { return ReadyField("admin"); }

std::string ServerProcess::metrics_address() { return "127.0.0.1:" + ReadyField("metrics_port"); }

std::string ServerProcess::Metrics() {
  return HttpGet(std::stoi(ReadyField("metrics_port")), "/metrics");
}

double ServerProcess::Metric(const std::string& name) {
  const std::string text = Metrics();
  const size_t found = text.find("\n" + name + " ");
  return found == std::string::npos ? 0 : std::stod(text.substr(found + name.size() + 2));
}

}  // namespace lamella::testing
