#include "server/model/hf_rope.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/model/config_presets.h"

namespace lamella {
namespace {

constexpr double kRopeTheta = 10000.0;
constexpr double kGemmaRopeTheta = 1e6;

bool NothingIsHarmless(std::string_view /*key*/) { return false; }

absl::Status ReadLlama3(HfConfigReader* reader, RopeConfig* rope) {
  rope->kind = RopeConfig::Kind::kLlama3;
  ASSIGN_OR_RETURN(rope->factor, reader->Double("factor"));
  ASSIGN_OR_RETURN(rope->low_freq_factor, reader->Double("low_freq_factor"));
  ASSIGN_OR_RETURN(rope->high_freq_factor, reader->Double("high_freq_factor"));
  ASSIGN_OR_RETURN(rope->original_max_position, reader->Int("original_max_position_embeddings"));
  return absl::OkStatus();
}

// One object such as {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}.
absl::StatusOr<RopeConfig> ReadObject(const JsonValue& object, const std::string& name,
                                      double theta) {
  HfConfigReader reader(object, name + ".");
  if (!object.is_object()) return HfConfigReader(object).InvalidValue(name, "is no object");
  RopeConfig rope;
  ASSIGN_OR_RETURN(rope.theta, reader.DoubleOr("rope_theta", theta));
  RETURN_IF_ERROR(reader.MustBe("partial_rotary_factor", 1.0));
  ASSIGN_OR_RETURN(const std::string old_type, reader.StringOr("type", "default"));
  ASSIGN_OR_RETURN(const std::string type, reader.StringOr("rope_type", old_type));
  if (type == "linear") {
    rope.kind = RopeConfig::Kind::kLinear;
    ASSIGN_OR_RETURN(rope.factor, reader.Double("factor"));
  } else if (type == "llama3") {
    RETURN_IF_ERROR(ReadLlama3(&reader, &rope));
  } else if (type != "default") {
    return reader.Unsupported("rope_type", JsonValue(type));
  }
  RETURN_IF_ERROR(reader.RefuseRest(NothingIsHarmless));
  return rope;
}

// transformers 4. Scaling never touches gemma's local layers.
absl::StatusOr<RopePair> ReadOld(const RopePair& plain, bool gemma, HfConfigReader* reader) {
  RopePair pair = plain;
  if (const JsonValue* scaling = reader->Take("rope_scaling"); scaling != nullptr) {
    ASSIGN_OR_RETURN(pair.full, ReadObject(*scaling, "rope_scaling", plain.full.theta));
    if (!gemma) pair.local = pair.full;
  }
  return pair;
}

// transformers 5: gemma has one object for each kind of layer.
absl::StatusOr<RopePair> ReadNew(const JsonValue& parameters, const RopePair& plain, bool gemma,
                                 HfConfigReader* reader) {
  RopePair pair;
  if (!gemma) {
    ASSIGN_OR_RETURN(pair.full, ReadObject(parameters, "rope_parameters", plain.full.theta));
    pair.local = pair.full;
    return pair;
  }
  const JsonValue* full = parameters.Find("full_attention");
  const JsonValue* local = parameters.Find("sliding_attention");
  if (full == nullptr || local == nullptr) {
    return reader->InvalidValue("rope_parameters", "lacks full_attention or sliding_attention");
  }
  ASSIGN_OR_RETURN(pair.full,
                   ReadObject(*full, "rope_parameters.full_attention", plain.full.theta));
  ASSIGN_OR_RETURN(pair.local,
                   ReadObject(*local, "rope_parameters.sliding_attention", plain.local.theta));
  return pair;
}

}  // namespace

absl::StatusOr<RopePair> ReadHfRope(Architecture architecture, HfConfigReader* reader) {
  const bool gemma = architecture == Architecture::kGemma3;
  RopePair plain;
  ASSIGN_OR_RETURN(plain.full.theta,
                   reader->DoubleOr("rope_theta", gemma ? kGemmaRopeTheta : kRopeTheta));
  plain.local = plain.full;
  if (gemma) {
    ASSIGN_OR_RETURN(plain.local.theta,
                     reader->DoubleOr("rope_local_base_freq", kGemmaLocalRopeTheta));
  }
  const JsonValue* parameters = reader->Take("rope_parameters");
  return parameters != nullptr ? ReadNew(*parameters, plain, gemma, reader)
                               : ReadOld(plain, gemma, reader);
}

}  // namespace lamella
