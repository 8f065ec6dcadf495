// lamella completion SHELL: a script that completes commands and options, made from the parser itself.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/operator_commands.h"

namespace lamella::cli {
namespace {

void AddOptions(const CLI::App& app, std::set<std::string>* words) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words->insert("--" + name);
  }
}

struct Level {
  std::string path;  // "" | "/adapters" | "/adapters/upload"
  std::set<std::string> words;
};

// A level for each command: its sub-commands and options, and those that go everywhere.
void Collect(const CLI::App& root, const CLI::App& app, const std::string& path,
             std::vector<Level>* levels) {
  Level level{.path = path, .words = {}};
  AddOptions(root, &level.words);
  AddOptions(app, &level.words);
  const std::vector<const CLI::App*> commands =
      app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) level.words.insert(command->get_name());
  levels->push_back(std::move(level));
  for (const CLI::App* command : commands) {
    Collect(root, *command, absl::StrCat(path, "/", command->get_name()), levels);
  }
}

std::string BashScript(const CLI::App& root) {
  std::vector<Level> levels;
  Collect(root, root, "", &levels);
  std::string paths, cases;
  for (const Level& level : levels) {
    if (!level.path.empty()) absl::StrAppend(&paths, paths.empty() ? "" : "|", level.path);
    absl::StrAppend(&cases, "    '", level.path, "') words='", absl::StrJoin(level.words, " "),
                    "' ;;\n");
  }
  return absl::StrCat(
      "_lamella() {\n"
      "  local path='' word words=''\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$path/$word\" in\n      ",
      paths,
      ") path=\"$path/$word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$path\" in\n",
      cases,
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
      "}\n"
      "complete -o default -F _lamella lamella\n");
}

}  // namespace

void AddCompletion(const Registry& registry) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app = registry.app->add_subcommand(
      "completion", "Print a script for your shell: source <(lamella completion bash)");
  app->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  app->callback([registry, shell] {
    *registry.chosen = [registry, shell](client::Client*) {
      // zsh runs bash's completions itself.
      absl::PrintF("%s%s", *shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "",
                   BashScript(*registry.app));
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace lamella::cli
