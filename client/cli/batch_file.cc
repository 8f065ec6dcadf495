#include "client/cli/batch_file.h"

#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

using client::GenerateOptions;
using nlohmann::json;

// Each setter is false if the value has another type than it takes.
using Setter = bool (*)(const json& value, GenerateOptions* options);

bool IsInt32(const json& value) {
  return value.is_number_integer() && value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

template <auto kMember>
bool SetString(const json& value, GenerateOptions* options) {
  if (!value.is_string()) return false;
  options->*kMember = value.get<std::string>();
  return true;
}

template <auto kMember>
bool SetBool(const json& value, GenerateOptions* options) {
  if (!value.is_boolean()) return false;
  options->*kMember = value.get<bool>();
  return true;
}

template <auto kMember>
bool SetInt(const json& value, GenerateOptions* options) {
  if (!IsInt32(value)) return false;
  options->*kMember = value.get<int32_t>();
  return true;
}

template <auto kMember>
bool SetFloat(const json& value, GenerateOptions* options) {
  if (!value.is_number()) return false;
  options->*kMember = value.get<float>();
  return true;
}

template <auto kMember>
bool SetIds(const json& value, GenerateOptions* options) {
  if (!value.is_array()) return false;
  for (const json& id : value) {
    if (!IsInt32(id)) return false;
    (options->*kMember).push_back(id.get<int32_t>());
  }
  return true;
}

bool SetStop(const json& value, GenerateOptions* options) {
  if (!value.is_array()) return false;
  for (const json& text : value) {
    if (!text.is_string()) return false;
    options->stop.push_back(text.get<std::string>());
  }
  return true;
}

bool SetSeed(const json& value, GenerateOptions* options) {
  if (!value.is_number_unsigned()) return false;
  options->seed = value.get<uint64_t>();
  return true;
}

// {"50256": -100}, as OpenAI's API has it.
bool SetLogitBias(const json& value, GenerateOptions* options) {
  if (!value.is_object()) return false;
  for (const auto& [key, bias] : value.items()) {
    client::LogitBias entry;
    if (!absl::SimpleAtoi(key, &entry.token_id) || !bias.is_number()) return false;
    entry.bias = bias.get<float>();
    options->logit_bias.push_back(entry);
  }
  return true;
}

bool SetPriority(const json& value, GenerateOptions* options) {
  if (value == "low") options->priority = client::Priority::kLow;
  if (value == "normal") options->priority = client::Priority::kNormal;
  if (value == "high") options->priority = client::Priority::kHigh;
  return options->priority.has_value();
}

const std::map<std::string, Setter>& Setters() {
  static const auto* const setters = new std::map<std::string, Setter>{
      {"adapter", SetString<&GenerateOptions::adapter>},
      {"prompt", SetString<&GenerateOptions::prompt>},
      {"prompt_token_ids", SetIds<&GenerateOptions::prompt_token_ids>},
      {"parse_special_tokens", SetBool<&GenerateOptions::parse_special_tokens>},
      {"max_tokens", SetInt<&GenerateOptions::max_tokens>},
      {"temperature", SetFloat<&GenerateOptions::temperature>},
      {"top_k", SetInt<&GenerateOptions::top_k>},
      {"top_p", SetFloat<&GenerateOptions::top_p>},
      {"min_p", SetFloat<&GenerateOptions::min_p>},
      {"repetition_penalty", SetFloat<&GenerateOptions::repetition_penalty>},
      {"presence_penalty", SetFloat<&GenerateOptions::presence_penalty>},
      {"frequency_penalty", SetFloat<&GenerateOptions::frequency_penalty>},
      {"logit_bias", SetLogitBias},
      {"n", SetInt<&GenerateOptions::n>},
      {"min_tokens", SetInt<&GenerateOptions::min_tokens>},
      {"logprobs", SetInt<&GenerateOptions::logprobs>},
      {"prompt_logprobs", SetInt<&GenerateOptions::prompt_logprobs>},
      {"priority", SetPriority},
      {"cache_salt", SetString<&GenerateOptions::cache_salt>},
      {"seed", SetSeed},
      {"stop", SetStop},
      {"stop_token_ids", SetIds<&GenerateOptions::stop_token_ids>},
      {"ignore_eos", SetBool<&GenerateOptions::ignore_eos>},
      {"include_stop", SetBool<&GenerateOptions::include_stop>},
      {"request_id", SetString<&GenerateOptions::request_id>},
  };
  return *setters;
}

absl::Status LineError(size_t line, std::string_view key, std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedJson, key,
                   absl::StrCat("line ", line, ": ", absl::string_view(what.data(), what.size())));
}

absl::StatusOr<GenerateOptions> ParseLine(const std::string& text, size_t line) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return LineError(line, "", "is not a JSON object");
  GenerateOptions options;
  for (const auto& [key, value] : object.items()) {
    const auto setter = Setters().find(key);
    if (setter == Setters().end())
      return LineError(line, key, absl::StrCat("unknown key \"", key, "\""));
    if (!setter->second(value, &options)) {
      return LineError(line, key,
                       absl::StrCat("\"", key, "\" has the wrong type or is out of range"));
    }
  }
  return options;
}

}  // namespace

absl::StatusOr<std::vector<GenerateOptions>> ReadBatch(std::istream& in) {
  std::vector<GenerateOptions> requests;
  std::string text;
  for (size_t line = 1; std::getline(in, text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    ASSIGN_OR_RETURN(GenerateOptions options, ParseLine(text, line));
    requests.push_back(std::move(options));
  }
  return requests;
}

}  // namespace lamella::cli
