#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "client/cli/commands.h"

namespace lamella::cli {

void ChooseAdmin(const Registry& registry, AdminCommand command) {
  *registry.chosen = [registry, command = std::move(command)](client::Client*) {
    const CommonOptions& common = *registry.common;
    auto admin = client::AdminClient::Connect({.admin = common.admin,
                                               .timeout = common.timeout(),
                                               .key = common.key,
                                               .tenant = common.tenant,
                                               .tls = common.tls});
    if (!admin.ok()) {
      Fail(admin.status());
      return static_cast<int>(kUsage);
    }
    return command(admin->get());
  };
}

bool ReadKey(CommonOptions* common) {
  if (common->token_file.empty()) return true;
  std::ifstream file(common->token_file);
  std::string key((std::istreambuf_iterator<char>(file)), {});
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  // What could not travel as metadata is no key.
  const bool visible = key.find_first_of("\n\r \t") == std::string::npos;
  if (!file.is_open() || key.empty() || !visible) {
    std::cerr << "lamella: --token-file: must be a file with one key in it\n";
    return false;
  }
  common->key = std::move(key);
  return true;
}

}  // namespace lamella::cli
