// lamella generate: one prompt, streamed, or a whole file of requests at once.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

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

nlohmann::json ToJson(const Answer& a) {
  return {{"request_id", a.request_id},
          {"adapter", a.adapter},
          {"adapter_version", a.adapter_version},
          {"seed", a.seed},
          {"text", a.text},
          {"token_ids", a.token_ids},
          {"finish_reason", a.finish_reason},
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

nlohmann::json ToJson(const absl::Status& status) {
  return {{"error",
           {{"code", absl::StatusCodeToString(status.code())},
            {"reason", ErrorReason(status)},
            {"field", ErrorField(status)},
            {"message", std::string(status.message())}}}};
}

int GenerateOne(client::Client* client, const CommonOptions& common,
                const GenerateOptions& request) {
  const bool stream = !common.json();
  auto answer =
      client->Generate(request, stream ? client::Client::OnText([](std::string_view text) {
                         std::fwrite(text.data(), 1, text.size(), stdout);
                         std::fflush(stdout);
                       })
                                       : nullptr);
  if (stream) std::fputc('\n', stdout);
  if (!answer.ok()) return Fail(answer.status());
  if (common.json()) absl::PrintF("%s\n", Dump(ToJson(*answer)));
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
                 answer.ok() ? answer->text : absl::StrCat("error: ", answer.status().message()));
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
  app->add_option("--temperature", r.temperature, "0 takes the likeliest token (default)");
  app->add_option("--top-k", r.top_k, "Consider only this many of the likeliest tokens");
  app->add_option("--top-p", r.top_p, "Consider the likeliest tokens up to this probability");
  app->add_option("--seed", r.seed, "Make sampling repeatable");
  app->add_option("--stop", r.stop, "End before this string; may be given several times")
      ->allow_extra_args(false);
  app->add_flag("--ignore-eos", r.ignore_eos, "Go on past the model's end of text");
  app->add_flag("--special", r.parse_special_tokens,
                "Read spellings such as <|im_end|> in the prompt as those tokens");
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
