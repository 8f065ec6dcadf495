// How the adapters commands write what they got: tables for people, one JSON object a line for
// programs. Pure functions and printing to stdout.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/admin_client.h"
#include "client/cli/commands.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {

nlohmann::json ToJson(const client::Adapter& adapter);
nlohmann::json ToJson(const client::Version& version);
nlohmann::json ToJson(const client::UploadResult& result);
nlohmann::json ToJson(const client::WatchEvent& event);

void PrintAdapters(const CommonOptions& common, const std::vector<client::Adapter>& adapters);
void PrintVersions(const CommonOptions& common, const std::vector<client::Version>& versions);

// The first digits of a version, as tables show it.
std::string ShortVersion(const std::string& version);

// "0123abcd4567" or "0123abcd4567:9 89ab...:1"
std::string DescribeTargets(const client::Alias& alias);

// Which version of `adapter` the text means: an alias that points to one version, a digest, or at
// least 4 of its first digits if no other version begins with them. NOT_FOUND and INVALID_ARGUMENT
// (INVALID_ADAPTER_ID) otherwise.
absl::StatusOr<std::string> FindVersion(client::AdminClient* admin, const std::string& adapter,
                                        const std::string& text);
// Of those; "" if none or several begin with `text`.
std::string MatchVersion(const std::vector<client::Version>& versions, const std::string& text);

}  // namespace lamella::cli
