#include "common/base/machine_limits.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace lamella {
namespace {

namespace fs = std::filesystem;

// A root folder with files of a kernel.
class MachineLimitsTest : public ::testing::Test {
 protected:
  MachineLimitsTest()
      : root_(fs::path(::testing::TempDir()) / ("limits" + std::to_string(getpid()))) {
    fs::remove_all(root_);
  }
  ~MachineLimitsTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const fs::path root_;
};

TEST_F(MachineLimitsTest, NoFilesMeanNoLimit) {
  EXPECT_FALSE(CgroupProcessors(root_).has_value());
  EXPECT_FALSE(CgroupMemoryBytes(root_).has_value());
}

TEST_F(MachineLimitsTest, TheSmallestOfAGroupAndThoseAboveItCounts) {
  Write("proc/self/cgroup", "0::/pods/one\n");
  Write("sys/fs/cgroup/pods/one/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/pods/one/memory.max", "2000000000\n");
  Write("sys/fs/cgroup/pods/cpu.max", "250000 100000\n");
  Write("sys/fs/cgroup/pods/memory.max", "1000000000\n");
  EXPECT_EQ(CgroupProcessors(root_), 2.5);
  EXPECT_EQ(CgroupMemoryBytes(root_), 1000000000);
}

TEST_F(MachineLimitsTest, AContainerSeesItsGroupAsTheTop) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  Write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(CgroupProcessors(root_), 0.5);
  EXPECT_FALSE(CgroupMemoryBytes(root_).has_value());
}

TEST_F(MachineLimitsTest, VersionOneHasAFolderForEachController) {
  Write("proc/self/cgroup", "7:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
  EXPECT_EQ(CgroupProcessors(root_), 3.0);
  EXPECT_EQ(CgroupMemoryBytes(root_), 512 << 20);
}

TEST_F(MachineLimitsTest, VersionOneSaysNoLimitWithNumbers) {
  Write("proc/self/cgroup", "7:memory:/\n4:cpu,cpuacct:/\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(CgroupProcessors(root_).has_value());
  EXPECT_FALSE(CgroupMemoryBytes(root_).has_value());
}

TEST_F(MachineLimitsTest, BrokenFilesAreNoLimit) {
  Write("proc/self/cgroup", "nonsense\n0::/\n");
  Write("sys/fs/cgroup/cpu.max", "100000 0\n");
  Write("sys/fs/cgroup/memory.max", "");
  EXPECT_FALSE(CgroupProcessors(root_).has_value());
  EXPECT_FALSE(CgroupMemoryBytes(root_).has_value());
}

TEST(ReadMachineLimitsTest, SomethingMayBeUsed) {
  const MachineLimits limits = ReadMachineLimits();
  EXPECT_GE(limits.processors, 1);
  EXPECT_LE(limits.processors, sysconf(_SC_NPROCESSORS_CONF));
  EXPECT_GT(limits.memory_bytes, 1 << 20);
}

}  // namespace
}  // namespace lamella
