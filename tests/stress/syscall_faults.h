// Makes the operating system fail, or the process die, at a chosen call: the program that links this
// file has its own open, write, fsync and rename in front of libc's, so SQLite's calls are met as well
// as ours. Only paths below one folder count. One fault at a time; thread-safe but for arming.
#pragma once

#include <string>

namespace lamella::testing {

enum class FaultCall { kOpen, kWrite, kSync, kRename };
inline constexpr FaultCall kFaultCalls[] = {FaultCall::kOpen, FaultCall::kWrite, FaultCall::kSync,
                                            FaultCall::kRename};
const char* FaultCallName(FaultCall call);

struct Fault {
  FaultCall call = FaultCall::kOpen;
  int nth = 1;          // the first call is 1
  int error = 0;        // errno to fail with; 0: the process dies by SIGKILL before the call
  bool sticky = false;  // all later calls of that kind fail too, until Disarm
};

// Calls below `folder` are counted from now on.
void ArmFault(const std::string& folder, const Fault& fault);
void DisarmFault();
// Whether the armed fault has struck.
bool FaultStruck();

}  // namespace lamella::testing
