// Records as a request leaves them.
#pragma once

#include <string>

#include "server/core/request_record.h"

namespace lamella {

inline RequestRecord MakeRecord(const std::string& request_id) {
  RequestRecord record;
  record.request_id = request_id;
  record.tenant = "anna";
  record.adapter = "poet";
  record.version = std::string(64, 'a');
  record.reason = "length";
  record.begin = absl::FromUnixSeconds(1'000'000);
  record.scheduled = record.begin + absl::Milliseconds(250);
  record.adapter_wait = absl::Milliseconds(125);
  record.first_token = record.begin + absl::Milliseconds(500);
  record.last_token = record.begin + absl::Seconds(2);
  record.end = record.begin + absl::Seconds(3);
  record.prompt_tokens = 5;
  record.cached_tokens = 4;
  record.generated_tokens = 3;
  return record;
}

}  // namespace lamella
