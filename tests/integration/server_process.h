// Real processes under test: started with arguments, read line by line, signalled, waited for.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace lamella::testing {

// What a process wrote to stdout and stderr, and how it ended. Killed if it still runs when the
// object dies.
class Process {
 public:
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Blocks until `text` was written or the process closed its output; false for the latter.
  bool AwaitOutput(const std::string& text);
  std::string output();

  void Signal(int signal);
  // Blocks until the end. The exit status; 128 and the number if a signal ended it.
  int Wait();

 private:
  void ReadAll(int fd);

  pid_t pid_ = -1;
  int status_ = -1;
  Mutex mutex_;
  CondVar changed_;
  std::string output_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

// lamella-server on free ports of this machine.
class ServerProcess {
 public:
  // `flags` without the listeners'.
  explicit ServerProcess(const std::vector<std::string>& flags);

  // Blocks until it serves. False, with its output as a failure of the test, if it ended instead.
  bool AwaitReady();

  std::string address();
  std::string admin_address();  // "off" without a store
  std::string metrics_address();
  Process& process() { return process_; }

  // What a scraper gets.
  std::string Metrics();
  // The value of one metric, such as `lamella_requests_accepted_total`; 0 if it is not there.
  double Metric(const std::string& name);

 private:
  // Of the ready line: "address" in address=127.0.0.1:1.
  std::string ReadyField(const std::string& name);

  Process process_;
};

}  // namespace lamella::testing
