#include "common/base/mailbox.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace lamella {
namespace {

TEST(MailboxTest, HandsOutEverythingInOrder) {
  Mailbox<int> mailbox(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(mailbox.Push(int{i}));
  std::vector<int> items = {99};
  mailbox.DrainTo(&items);
  EXPECT_EQ(items, (std::vector<int>{0, 1, 2}));
  mailbox.DrainTo(&items);
  EXPECT_TRUE(items.empty());
}

TEST(MailboxTest, RefusesWhenFullAndKeepsTheItem) {
  Mailbox<std::unique_ptr<int>> mailbox(1);
  EXPECT_TRUE(mailbox.Push(std::make_unique<int>(1)));
  auto item = std::make_unique<int>(2);
  EXPECT_FALSE(mailbox.Push(std::move(item)));
  EXPECT_NE(item, nullptr);
}

TEST(MailboxTest, ClosedRefusesButHandsOutWhatCameBefore) {
  Mailbox<int> mailbox(2);
  EXPECT_TRUE(mailbox.Push(1));
  mailbox.Close();
  EXPECT_FALSE(mailbox.Push(2));
  EXPECT_TRUE(mailbox.closed());
  std::vector<int> items;
  mailbox.DrainTo(&items);
  EXPECT_EQ(items, std::vector<int>{1});
  EXPECT_TRUE(mailbox.WaitFor(absl::InfiniteDuration()));  // does not wait any more
}

TEST(MailboxTest, AWakeUpLastsUntilItIsDrained) {
  Mailbox<int> mailbox(1);
  EXPECT_FALSE(mailbox.WaitFor(absl::ZeroDuration()));
  mailbox.Wake();
  EXPECT_TRUE(mailbox.WaitFor(absl::InfiniteDuration()));
  EXPECT_TRUE(mailbox.WaitFor(absl::InfiniteDuration()));
  std::vector<int> items;
  mailbox.DrainTo(&items);
  EXPECT_FALSE(mailbox.WaitFor(absl::ZeroDuration()));
}

TEST(MailboxTest, LosesNothingOfManySenders) {
  constexpr int kSenders = 4;
  constexpr int kEach = 500;
  Mailbox<int> mailbox(kSenders * kEach);
  std::vector<std::thread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.emplace_back([&mailbox] {
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(mailbox.Push(int{i}));
    });
  }
  int received = 0;
  std::vector<int> items;
  while (received < kSenders * kEach) {
    EXPECT_TRUE(mailbox.WaitFor(absl::InfiniteDuration()));
    mailbox.DrainTo(&items);
    received += static_cast<int>(items.size());
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(received, kSenders * kEach);
}

}  // namespace
}  // namespace lamella
