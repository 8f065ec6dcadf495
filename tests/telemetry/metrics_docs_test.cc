// docs/metrics.md and what a server exports list the same metrics: each name once, with its type and
// its labels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "server/telemetry/metrics_registry.h"

namespace lamella {
namespace {

struct Described {
  std::string type;
  std::set<std::string> labels;
  friend bool operator==(const Described&, const Described&) = default;
  friend void PrintTo(const Described& d, std::ostream* out) {
    *out << d.type << " {";
    for (const std::string& label : d.labels) *out << label << ' ';
    *out << '}';
  }
};
using MetricTable = std::map<std::string, Described>;

// Names between backquotes.
std::set<std::string> Quoted(const std::string& text) {
  std::set<std::string> words;
  for (size_t begin = text.find('`'); begin != std::string::npos;) {
    const size_t end = text.find('`', begin + 1);
    words.insert(text.substr(begin + 1, end - begin - 1));
    begin = text.find('`', end + 1);
  }
  return words;
}

// Rows of the form | `name` | type | `label`, `label` | meaning |.
MetricTable Documented() {
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/docs/metrics.md");
  EXPECT_TRUE(in.is_open());
  MetricTable metrics;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `")) continue;
    std::istringstream cells(line.substr(2));
    std::string name, type, labels;
    std::getline(cells, name, '|');
    std::getline(cells, type, '|');
    std::getline(cells, labels, '|');
    const std::string bare = *Quoted(name).begin();
    EXPECT_FALSE(metrics.contains(bare)) << bare << " is there twice";
    metrics[bare] = {type.substr(1, type.find_last_not_of(' ')), Quoted(labels)};
  }
  return metrics;
}

// From the text format: "# TYPE name type" lines, and the labels of the series under them.
MetricTable Exported(const std::string& text) {
  MetricTable metrics;
  std::istringstream in(text);
  std::string name;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string hash, keyword, type;
    if (line.starts_with("# TYPE ")) {
      words >> hash >> keyword >> name >> type;
      metrics[name].type = type;
    }
    const size_t brace = line.find('{');
    if (line.starts_with("#") || brace == std::string::npos) continue;
    for (size_t at = brace; line[at] != '}';) {
      const size_t equals = line.find("=\"", at);
      const std::string label = line.substr(at + 1, equals - at - 1);
      if (label != "le") metrics[name].labels.insert(label);
      at = line.find('"', equals + 2) + 1;
    }
  }
  return metrics;
}

TEST(MetricsDocsTest, DocumentationAndExpositionListTheSameMetrics) {
  MetricsRegistry registry({.model_name = "m"});
  registry.SetBuildInfo({.version = "1", .isa = "avx2", .dtype = "bf16"});
  // Limits are there where they are set.
  registry.SetTenantSource([] {
    return std::vector<TenantStanding>{{.tenant = "anna",
                                        .limits = {.max_in_flight = 1,
                                                   .max_queued_tokens = 1,
                                                   .tokens_per_minute = 1,
                                                   .max_stored_bytes = 1,
                                                   .max_stored_versions = 1,
                                                   .upload_bytes_per_day = 1}}};
  });
  const MetricTable exported = Exported(registry.Text());
  EXPECT_GT(exported.size(), 70U);
  const MetricTable documented = Documented();
  for (const auto& [name, described] : exported) {
    ASSERT_TRUE(documented.contains(name)) << name << " is not in docs/metrics.md";
    EXPECT_EQ(documented.at(name), described) << name;
  }
  for (const auto& [name, described] : documented) {
    EXPECT_TRUE(exported.contains(name)) << name << " is in docs/metrics.md alone";
  }
}

}  // namespace
}  // namespace lamella
