#include "adapters_store/catalogue_json.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

absl::Status BadModule() {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedJson, "modules",
                   "a module must be [path, layer, kind, in, out]");
}

absl::StatusOr<BaseModule> ModuleFromJson(const JsonValue& value) {
  const JsonValue::Array* fields = value.AsArray();
  if (fields == nullptr || fields->size() != 5) return BadModule();
  const std::string* path = (*fields)[0].AsString();
  const auto layer = (*fields)[1].AsInt(), kind = (*fields)[2].AsInt();
  const auto in = (*fields)[3].AsInt(), out = (*fields)[4].AsInt();
  if (path == nullptr || !layer || !kind || !in || !out || *kind < 0 || *kind >= kModuleKinds) {
    return BadModule();
  }
  return BaseModule{*path, static_cast<int32_t>(*layer), static_cast<ModuleKind>(*kind), *in, *out};
}

}  // namespace

std::string LabelsToJson(const Labels& labels) {
  return absl::StrCat("{",
                      absl::StrJoin(labels, ",",
                                    [](std::string* out, const auto& label) {
                                      absl::StrAppend(out, JsonQuote(label.first), ":",
                                                      JsonQuote(label.second));
                                    }),
                      "}");
}

absl::StatusOr<Labels> LabelsFromJson(std::string_view json) {
  ASSIGN_OR_RETURN(const JsonValue root, ParseStrictJson(json));
  Labels labels;
  if (!root.is_object()) return labels;
  for (const JsonMember& member : *root.AsObject()) {
    const std::string* value = member.value.AsString();
    if (value != nullptr) labels.emplace(member.key, *value);
  }
  return labels;
}

std::string BaseSpecToJson(const BaseSpec& base) {
  return absl::StrCat("{\"architecture\":", JsonQuote(base.architecture),
                      ",\"fingerprint\":", JsonQuote(base.fingerprint), ",\"modules\":[",
                      absl::StrJoin(base.modules, ",",
                                    [](std::string* out, const BaseModule& m) {
                                      absl::StrAppend(out, "[", JsonQuote(m.path), ",", m.layer,
                                                      ",", static_cast<int>(m.kind), ",",
                                                      m.in_features, ",", m.out_features, "]");
                                    }),
                      "]}");
}

absl::StatusOr<BaseSpec> BaseSpecFromJson(std::string_view json) {
  ASSIGN_OR_RETURN(const JsonValue root, ParseStrictJson(json, {.max_bytes = size_t{16} << 20}));
  BaseSpec base;
  ASSIGN_OR_RETURN(base.architecture, root.GetString("architecture"));
  ASSIGN_OR_RETURN(base.fingerprint, root.GetString("fingerprint"));
  ASSIGN_OR_RETURN(const JsonValue::Array* modules, root.GetArray("modules"));
  for (const JsonValue& value : *modules) {
    ASSIGN_OR_RETURN(BaseModule module, ModuleFromJson(value));
    base.modules.push_back(std::move(module));
  }
  return base;
}

}  // namespace lamella
