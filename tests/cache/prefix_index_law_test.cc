// Thousands of random operations against a naive map of token prefixes: what is found was computed
// from these very tokens in this very scope (law 5), and everything that may be found is.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/cache/prefix_index.h"

namespace lamella {
namespace {

constexpr int32_t kBlocks = 24;
constexpr int32_t kBlockTokens = 2;
constexpr int32_t kMostBlocks = 6;  // of one list
constexpr int kScopes = 3;

using Tokens = std::vector<int32_t>;
// Scope and all tokens up to the end of a block.
using Prefix = std::pair<int, Tokens>;

Prefix PrefixOf(int scope, const Tokens& tokens, int32_t blocks) {
  return {scope, Tokens(tokens.begin(), tokens.begin() + blocks * kBlockTokens)};
}

bool Continues(const Prefix& longer, const Prefix& shorter) {
  return longer.first == shorter.first && longer.second.size() > shorter.second.size() &&
         std::equal(shorter.second.begin(), shorter.second.end(), longer.second.begin());
}

// What pool and index should do, said as plainly as possible.
struct Model {
  std::vector<int> references = std::vector<int>(kBlocks, 0);
  std::vector<bool> kept = std::vector<bool>(kBlocks, false);
  std::vector<Prefix> contents = std::vector<Prefix>(kBlocks);
  std::deque<int32_t> cached;  // coldest first
  std::map<Prefix, int32_t> findable;

  int32_t Count(int scope, const Tokens& tokens, int32_t most) const {
    int32_t count = 0;
    while (count < most && findable.contains(PrefixOf(scope, tokens, count + 1))) ++count;
    return count;
  }
  void Take(int32_t id) {
    if (references[id]++ == 0) std::erase(cached, id);
  }
  void LetGo(int32_t id) {
    if (--references[id] == 0 && kept[id]) cached.push_back(id);
  }
  // A new use of a block; whatever it held and what continued that cannot be found again.
  void Overwrite(int32_t id, Prefix now) {
    if (std::ranges::find(cached, id) != cached.end()) {
      EXPECT_EQ(cached.front(), id) << "not the least recently used";
      cached.pop_front();
      const Prefix gone = contents[id];
      if (const auto found = findable.find(gone); found != findable.end() && found->second == id) {
        std::erase_if(findable, [&](const auto& entry) { return Continues(entry.first, gone); });
        findable.erase(gone);
      }
    }
    kept[id] = false;
    references[id] = 1;
    contents[id] = std::move(now);
  }
  void Publish(int scope, const Tokens& tokens, const BlockList& list, int32_t end) {
    for (int32_t i = 0; i < end; ++i) {
      const Prefix prefix = PrefixOf(scope, tokens, i + 1);
      if (findable.contains(prefix)) continue;
      if (i < list.released()) return;
      const int32_t id = list.ids()[static_cast<size_t>(i)];
      findable[prefix] = id;
      kept[id] = true;
    }
  }
};

struct Owner {
  int scope = 0;
  Tokens tokens;
  BlockList list;
};

class PrefixIndexLawTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  PrefixIndexLawTest() : random_(GetParam()), owners_(5) {
    for (int i = 0; i < kScopes; ++i) scopes_.push_back(index_.AcquireScope(std::to_string(i)));
  }

  int32_t Draw(int32_t n) { return static_cast<int32_t>(random_() % static_cast<uint32_t>(n)); }
  Tokens DrawTokens() {
    Tokens tokens(static_cast<size_t>(Draw(kMostBlocks * kBlockTokens + 1)));
    for (int32_t& token : tokens) token = Draw(2);
    return tokens;
  }

  void End(Owner* owner) {
    const auto held = owner->list.ids().subspan(static_cast<size_t>(owner->list.released()));
    for (size_t i = held.size(); i-- > 0;) model_.LetGo(held[i]);
    owner->list.Truncate(0);
  }

  void Begin(Owner* owner) {
    End(owner);
    owner->scope = Draw(kScopes);
    owner->tokens = DrawTokens();
    const auto blocks = static_cast<int32_t>(owner->tokens.size()) / kBlockTokens;
    const int32_t most = Draw(blocks + 1);
    const int32_t expected = model_.Count(owner->scope, owner->tokens, most);
    const int32_t found = index_.Match(Scope(owner), owner->tokens, most, &owner->list);
    CheckCount(found, expected);
    for (int32_t i = 0; i < found; ++i) {
      const int32_t id = owner->list.ids()[static_cast<size_t>(i)];
      ASSERT_EQ(model_.contents[id], PrefixOf(owner->scope, owner->tokens, i + 1));
      model_.Take(id);
    }
    if (!pool_.Grow(&owner->list, blocks - found)) return End(owner);
    for (int32_t i = found; i < blocks; ++i) {
      model_.Overwrite(owner->list.ids()[static_cast<size_t>(i)],
                       PrefixOf(owner->scope, owner->tokens, i + 1));
    }
  }

  void Publish(Owner* owner) {
    const int32_t end = Draw(owner->list.size() + 1);
    const int32_t first = from_the_start_ ? 0 : Draw(end + 1);
    index_.Publish(Scope(owner), owner->tokens, owner->list, first, end - first);
    model_.Publish(owner->scope, owner->tokens, owner->list, end);
  }

  void ReleaseFront(Owner* owner) {
    const int32_t count = Draw(owner->list.size() + 1);
    for (int32_t i = count; i-- > owner->list.released();) {
      model_.LetGo(owner->list.ids()[static_cast<size_t>(i)]);
    }
    owner->list.ReleaseFront(count);
  }

  void Share(Owner* owner) {
    const Owner& other = owners_[static_cast<size_t>(Draw(5))];
    if (&other == owner) return;
    End(owner);
    owner->scope = other.scope;
    owner->tokens = other.tokens;
    owner->list = pool_.Share(other.list, Draw(other.list.size() + 1));
    const auto held = owner->list.ids().subspan(static_cast<size_t>(owner->list.released()));
    for (const int32_t id : held) model_.Take(id);
  }

  void Clear() {
    index_.Clear();
    model_.findable.clear();
    model_.cached.clear();
    model_.kept.assign(kBlocks, false);
  }

  void RandomOperation() {
    Owner* const owner = &owners_[static_cast<size_t>(Draw(5))];
    const int32_t kind = Draw(100);
    if (kind < 40) return Begin(owner);
    if (kind < 75) return Publish(owner);
    if (kind < 85) return End(owner);
    if (kind < 90) return ReleaseFront(owner);
    if (kind < 99) return Share(owner);
    Clear();
  }

  // Everything is found that may be. With a short cut to the middle of a chain that has lost its
  // beginning, what is published there cannot be found: less, but nothing wrong.
  void CheckCount(int32_t found, int32_t expected) const {
    if (from_the_start_) {
      ASSERT_EQ(found, expected);
    } else {
      ASSERT_LE(found, expected);
    }
  }

  void Walk(int operations) {
    for (int i = 0; i < operations && !HasFatalFailure(); ++i) {
      RandomOperation();
      const Tokens tokens = DrawTokens();
      const int scope = Draw(kScopes);
      const auto most = static_cast<int32_t>(tokens.size()) / kBlockTokens;
      CheckCount(index_.CountMatch(scopes_[static_cast<size_t>(scope)], tokens, most),
                 model_.Count(scope, tokens, most));
      ASSERT_EQ(pool_.CheckIntegrity(), absl::OkStatus());
      ASSERT_EQ(index_.CheckIntegrity(), absl::OkStatus());
    }
    hits_ = index_.stats().hits;
  }

  const PrefixScope& Scope(const Owner* owner) const {
    return scopes_[static_cast<size_t>(owner->scope)];
  }

  std::mt19937 random_;
  bool from_the_start_ = true;
  Model model_;
  BlockPool pool_{kBlocks};
  PrefixIndex index_{&pool_, kBlockTokens};
  std::vector<PrefixScope> scopes_;
  std::vector<Owner> owners_;
  uint64_t hits_ = 0;
};

TEST_P(PrefixIndexLawTest, FindsExactlyWhatANaiveMapFinds) {
  Walk(4000);
  EXPECT_GT(hits_, 100U);
  EXPECT_GT(index_.stats().evictions, 100U);
}

TEST_P(PrefixIndexLawTest, AShortCutFindsNothingWrong) {
  from_the_start_ = false;
  Walk(4000);
  EXPECT_GT(hits_, 100U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PrefixIndexLawTest, ::testing::Range(1u, 9u));

}  // namespace
}  // namespace lamella
