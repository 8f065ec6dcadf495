// lamella keys create: a key and the entry of the credentials file that goes with it. Talks to nobody.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "adapters_store/adapter_id.h"
#include "client/cli/commands.h"
#include "common/formats/digest.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

constexpr size_t kKeyBytes = 32;

struct Arguments {
  std::string name;
  std::vector<std::string> roles;
  std::string key_file;
};

int Wrong(const std::string& complaint) {
  std::cerr << "lamella: " << complaint << "\n";
  return kUsage;
}

// Nothing if the kernel has no randomness to give.
std::optional<std::string> RandomKey() {
  std::array<char, kKeyBytes> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return std::nullopt;
  }
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

// A new file that only its owner reads.
bool WriteKey(const std::string& path, const std::string& key) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const std::string line = key + "\n";
  const bool written = write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  return close(fd) == 0 && written;
}

int Create(const Arguments& arguments, const CommonOptions& common) {
  if (!IsValidResourceId(arguments.name)) {
    return Wrong("NAME: must be up to 64 characters of a-z 0-9 . _ -");
  }
  if (!IsValidResourceId(common.tenant)) {
    return Wrong("--tenant: must name the tenant that the key is for");
  }
  const auto key = RandomKey();
  if (!key.has_value()) return Wrong("the system has no random bytes");
  const nlohmann::ordered_json entry = {{"name", arguments.name},
                                        {"sha256", Sha256Hex(std::string_view(*key))},
                                        {"tenant", common.tenant},
                                        {"roles", arguments.roles}};
  const bool to_file = !arguments.key_file.empty();
  if (to_file && !WriteKey(arguments.key_file, *key)) {
    return Wrong("--key-file: must be a file that can be made and is not there yet");
  }
  if (common.json()) {
    nlohmann::ordered_json line = {{"entry", entry}};
    if (!to_file) line["key"] = *key;
    std::cout << line.dump() << "\n";
    return kOk;
  }
  if (!to_file) std::cout << "key    " << *key << "\n       it is shown this once\n";
  std::cout << "entry  " << entry.dump() << "\n       for \"credentials\" in the server's file\n";
  return kOk;
}

}  // namespace

void AddKeys(const Registry& registry) {
  CLI::App* keys = registry.app->add_subcommand("keys", "Keys that say who calls");
  keys->require_subcommand(1);
  CLI::App* create = keys->add_subcommand(
      "create", "Make a key for --tenant, and the entry of the credentials file for it");
  auto arguments = std::make_shared<Arguments>();
  create->add_option("NAME", arguments->name, "What the audit log calls it")->required();
  create
      ->add_option("--role", arguments->roles, "inference, adapter-writer or operator; repeatable")
      ->check(CLI::IsMember({"inference", "adapter-writer", "operator"}))
      ->default_val(std::vector<std::string>{"inference"});
  create->add_option("--key-file", arguments->key_file,
                     "Write the key to this new file instead of showing it");
  create->callback([registry, arguments] {
    *registry.chosen = [registry, arguments](client::Client*) {
      return Create(*arguments, *registry.common);
    };
  });
}

}  // namespace lamella::cli
