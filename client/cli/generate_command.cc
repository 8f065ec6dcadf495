// lamella generate: one prompt, streamed, or a whole file of requests at once.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/batch_file.h"
#include "client/cli/commands.h"
#include "common/base/error.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

using client::Answer;
using client::GenerateOptions;

struct Arguments {
  GenerateOptions request;
  std::string batch_path;
};

// Replaces what is not UTF-8, which a server never sends, rather than failing.
std::string Dump(const nlohmann::json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json AboutAll(const Answer& a) {
  return {{"request_id", a.request_id},
          {"adapter", a.adapter},
          {"adapter_version", a.adapter_version},
          {"seed", a.seed},
          {"usage",
           {{"prompt_tokens", a.prompt_tokens},
            {"cached_tokens", a.cached_tokens},
            {"generated_tokens", a.generated_tokens}}},
          {"timings",
           {{"queue_ms", absl::ToDoubleMilliseconds(a.queue)},
            {"adapter_wait_ms", absl::ToDoubleMilliseconds(a.adapter_wait)},
            {"first_token_ms", absl::ToDoubleMilliseconds(a.first_token)},
            {"decode_ms", absl::ToDoubleMilliseconds(a.decode)},
            {"steps", a.steps},
            {"mean_distinct_adapters", a.mean_distinct_adapters}}}};
}

nlohmann::json ToJson(const client::TokenLogprob& told) {
  return {{"token_id", told.token_id}, {"logprob", told.logprob}};
}

nlohmann::json ToJson(const std::vector<client::TokenLogprobs>& tokens) {
  nlohmann::json list = nlohmann::json::array();
  for (const client::TokenLogprobs& told : tokens) {
    nlohmann::json entry = ToJson(told.token);
    entry["top"] = nlohmann::json::array();
    for (const client::TokenLogprob& top : told.top) entry["top"].push_back(ToJson(top));
    list.push_back(std::move(entry));
  }
  return list;
}

nlohmann::json ToJson(const client::Choice& choice) {
  nlohmann::json object = {{"text", choice.text},
                           {"token_ids", choice.token_ids},
                           {"finish_reason", choice.finish_reason}};
  if (choice.finish_reason == "stop_string") object["stop_string"] = choice.stop_string;
  if (choice.stop_token_id.has_value()) object["stop_token_id"] = *choice.stop_token_id;
  if (!choice.logprobs.empty()) object["logprobs"] = ToJson(choice.logprobs);
  return object;
}

// The first choice stands in the object itself; with several, all of them are in "choices" too.
nlohmann::json ToJson(const Answer& a) {
  nlohmann::json object = AboutAll(a);
  object.update(ToJson(static_cast<const client::Choice&>(a)));
  if (!a.prompt_logprobs.empty()) object["prompt_logprobs"] = ToJson(a.prompt_logprobs);
  if (a.more_choices.empty()) return object;
  object["choices"] = nlohmann::json::array();
  object["choices"].push_back(ToJson(static_cast<const client::Choice&>(a)));
  for (const client::Choice& choice : a.more_choices) object["choices"].push_back(ToJson(choice));
  return object;
}

nlohmann::json ToJson(const absl::Status& status) {
  nlohmann::json error = {{"code", absl::StatusCodeToString(status.code())},
                          {"reason", ErrorReason(status)},
                          {"field", ErrorField(status)},
                          {"message", std::string(status.message())}};
  if (const auto wait = ErrorRetryAfter(status); wait.has_value()) {
    error["retry_after_ms"] = absl::ToInt64Milliseconds(*wait);
  }
  return {{"error", error}};
}

// The text, or the texts of several choices one below the other.
std::string Shown(const Answer& answer) {
  if (answer.more_choices.empty()) return answer.text;
  std::string shown = absl::StrCat("[choice 0]\n", answer.text);
  for (size_t i = 0; i < answer.more_choices.size(); ++i) {
    absl::StrAppend(&shown, "\n[choice ", i + 1, "]\n", answer.more_choices[i].text);
  }
  return shown;
}

client::Priority PriorityNamed(const std::string& name) {
  if (name == "low") return client::Priority::kLow;
  return name == "high" ? client::Priority::kHigh : client::Priority::kNormal;
}

// ID=X, such as 50256=-100.
std::string ParseLogitBias(const std::string& text, GenerateOptions* request) {
  client::LogitBias entry;
  const size_t equals = text.find('=');
  if (equals != std::string::npos && absl::SimpleAtoi(text.substr(0, equals), &entry.token_id) &&
      absl::SimpleAtof(text.substr(equals + 1), &entry.bias)) {
    request->logit_bias.push_back(entry);
    return "";
  }
  return absl::StrCat("\"", text, "\" is not TOKEN_ID=BIAS");
}

int GenerateOne(client::Client* client, const CommonOptions& common,
                const GenerateOptions& request) {
  // Several choices would mix on the terminal: they are shown one below the other at the end.
  const bool stream = !common.json() && request.n.value_or(1) == 1;
  client::Client::OnText show;
  bool shown = false;
  if (stream) {
    show = [&shown](std::string_view text, int32_t /*choice*/) {
      shown = true;
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
  }
  auto answer = client->Generate(request, show);
  if (stream && (answer.ok() || shown)) std::fputc('\n', stdout);
  if (!answer.ok()) return Fail(answer.status());
  if (common.json()) {
    absl::PrintF("%s\n", Dump(ToJson(*answer)));
  } else if (!stream) {
    absl::PrintF("%s\n", Shown(*answer));
  }
  return kOk;
}

void PrintBatchAnswer(const CommonOptions& common, size_t index, const GenerateOptions& request,
                      const absl::StatusOr<Answer>& answer) {
  if (common.json()) {
    nlohmann::json line = answer.ok() ? ToJson(*answer) : ToJson(answer.status());
    line["index"] = index;
    absl::PrintF("%s\n", Dump(line));
  } else {
    absl::PrintF("[%d] %s: %s\n", index, request.adapter.empty() ? "(base)" : request.adapter,
                 answer.ok() ? Shown(*answer) : absl::StrCat("error: ", Failure(answer.status())));
  }
  std::fflush(stdout);
}

int GenerateBatch(client::Client* client, const CommonOptions& common, const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) {
      std::cerr << "lamella: cannot read " << path << "\n";
      return kUsage;
    }
  }
  auto requests = ReadBatch(path == "-" ? std::cin : file);
  if (!requests.ok()) {
    std::cerr << "lamella: " << path << ": " << requests.status().message() << "\n";
    return kUsage;
  }
  int code = kOk;
  client->GenerateMany(*requests, [&](size_t index, absl::StatusOr<Answer> answer) {
    PrintBatchAnswer(common, index, (*requests)[index], answer);
    if (code != kFailed && !answer.ok()) code = ExitCodeOf(answer.status());
  });
  return code;
}

void AddSamplingOptions(CLI::App* app, GenerateOptions* request) {
  GenerateOptions& r = *request;
  app->add_option("--temperature", r.temperature, "0 takes the likeliest token (default)");
  app->add_option("--top-k", r.top_k, "Consider only this many of the likeliest tokens");
  app->add_option("--top-p", r.top_p, "Consider the likeliest tokens up to this probability");
  app->add_option("--min-p", r.min_p, "Consider tokens with this share of the likeliest's");
  app->add_option("--repetition-penalty", r.repetition_penalty,
                  "Above 1: avoid tokens of prompt and answer");
  app->add_option("--presence-penalty", r.presence_penalty, "Above 0: avoid tokens of the answer");
  app->add_option("--frequency-penalty", r.frequency_penalty,
                  "Above 0: avoid them more each time that they came");
  app->add_option_function<std::vector<std::string>>(
         "--logit-bias",
         [request](const std::vector<std::string>& entries) {
           for (const std::string& entry : entries) {
             const std::string fault = ParseLogitBias(entry, request);
             if (!fault.empty()) throw CLI::ValidationError("--logit-bias", fault);
           }
         },
         "TOKEN_ID=BIAS: add BIAS to a token's logit; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--seed", r.seed, "Make sampling repeatable");
  app->add_option("--n", r.n, "How many answers (1)");
}

void AddStopOptions(CLI::App* app, GenerateOptions* request) {
  GenerateOptions& r = *request;
  app->add_option("--stop", r.stop, "End before this string; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--stop-token-ids", r.stop_token_ids, "End at any of these tokens: 2,13")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--include-stop", r.include_stop, "Keep what ended the answer in its text");
  app->add_option("--min-tokens", r.min_tokens, "End at no stop before so many tokens");
  app->add_flag("--ignore-eos", r.ignore_eos, "Go on past the model's end of text");
}

}  // namespace

void AddGenerate(const Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  GenerateOptions& r = arguments->request;
  CLI::App* app = registry.app->add_subcommand("generate", "Continue a prompt, or many at once");
  app->add_option("prompt", r.prompt, "The prompt; - reads it from standard input");
  app->add_option("-a,--adapter", r.adapter,
                  "A, A@alias or A@sha256:HEX; without it the base model answers");
  app->add_option("-n,--max-tokens", r.max_tokens,
                  "The most tokens to generate (the server's default is 16)");
  AddStopOptions(app, &r);
  app->add_flag("--special", r.parse_special_tokens,
                "Read spellings such as <|im_end|> in the prompt as those tokens");
  AddSamplingOptions(app, &r);
  app->add_option("--logprobs", r.logprobs,
                  "With --output=json: each token's log-probability and those of so many others");
  app->add_option("--prompt-logprobs", r.prompt_logprobs, "The same of the prompt's tokens");
  app->add_option_function<std::string>(
         "--priority", [&r](const std::string& name) { r.priority = PriorityNamed(name); },
         "Among your own requests (normal)")
      ->check(CLI::IsMember({"low", "normal", "high"}));
  app->add_option("--cache-salt", r.cache_salt,
                  "Share cached prefixes only with requests of the same salt");
  app->add_option("--request-id", r.request_id,
                  "Names the request in the server's log; without it the server makes a name");
  app->add_option("--batch", arguments->batch_path,
                  "Send every request of this JSON-lines file at once; - for stdin");
  app->callback([registry, arguments, app] {
    if (arguments->batch_path.empty() == (app->count("prompt") == 0)) {
      throw CLI::ValidationError("generate", "give either a prompt or --batch FILE");
    }
    *registry.chosen = [registry, arguments](client::Client* client) {
      if (!arguments->batch_path.empty())
        return GenerateBatch(client, *registry.common, arguments->batch_path);
      if (arguments->request.prompt == "-") {
        arguments->request.prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
      }
      return GenerateOne(client, *registry.common, arguments->request);
    };
  });
}

}  // namespace lamella::cli
