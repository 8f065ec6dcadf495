// Prints the resident bytes of a process that loads the server's libraries and does nothing: what
// the server's own memory is measured over.
#include <cstdio>
#include <fstream>
#include <string>

int main() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "VmRSS:") continue;
    long long kilobytes = 0;
    status >> kilobytes;
    std::printf("%lld\n", kilobytes * 1024);
    return 0;
  }
  return 1;
}
